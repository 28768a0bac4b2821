//! Unix sockets: made, replaced, refused and removed, their mode, and abstract names.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::support::{Bridge, Frame, PATIENCE, run, spawn_under};

#[test]
fn a_unix_socket_is_made_and_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let address = format!("unix-l:{}", path.display());
    let bridge = Bridge::start(&[&address, "echo:"]);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    let mut unix = UnixStream::connect(&path).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    unix.write_all(b"hello").unwrap();
    let mut got = [0; 5];
    unix.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    drop(unix);
    bridge.closed();
    bridge.stop();
    assert!(!path.exists());
}

#[test]
fn a_path_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let inner = dir.path().join("dir");
    fs::create_dir(&inner).unwrap();
    for path in [&file, &link, &inner] {
        let address = format!("unix-l:{}", path.display());
        let done = run(&[&address, "echo:"], "");
        assert_eq!(done.status, 7, "{}", done.stderr);
        assert!(done.stderr.contains(&address), "{}", done.stderr);
        assert!(path.symlink_metadata().is_ok());
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let done = run(&["unix-l:/nonexistent/dir/socket", "echo:"], "");
    assert_eq!(done.status, 7, "{}", done.stderr);
}

#[test]
fn a_live_socket_is_refused_and_a_stale_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let address = format!("unix-l:{}", path.display());
    let live = UnixListener::bind(&path).unwrap();
    let done = run(&[&address, "echo:"], "");
    assert_eq!(done.status, 7, "{}", done.stderr);
    assert!(done.stderr.contains("in use"), "{}", done.stderr);
    UnixStream::connect(&path).unwrap();
    drop(live);
    assert!(path.exists(), "it is stale now");
    let bridge = Bridge::start(&[&address, "echo:"]);
    UnixStream::connect(&path).unwrap();
    // Another one stands there at the end: it is not ours to remove.
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    bridge.stop();
    assert!(path.exists());
}

#[test]
fn the_mode_of_a_socket_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    for (name, mode) in [("flag", 0o600), ("option", 0o660)] {
        let path = dir.path().join(name);
        let place = path.display();
        let _bridge = if name == "flag" {
            Bridge::start(&["--mode", "600", &format!("unix-l:{place}"), "echo:"])
        } else {
            Bridge::start(&[&format!("unix-l:{place},mode=660"), "echo:"])
        };
        let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    // Without one it is this user's alone, whatever the umask allows; the line at the start says so.
    for (umask, kind, name) in [
        ("000", "unix-l", "own"),
        ("022", "seqpacket-l", "packets"),
        ("0777", "ws-u:unix-l", "ws"),
        ("0777", "unix-l", "closed"),
        ("0277", "seqpacket-l", "read-only"),
    ] {
        let path = dir.path().join(name);
        let words = [&format!("{kind}:{}", path.display()), "echo:"];
        let bridge = spawn_under(&format!("umask {umask}"), &words);
        let line = bridge.line("listening on ");
        let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, 0o600, "{name}");
        assert!(
            line.ends_with(" (mode 600: this user alone may connect, mode=666 lets others)"),
            "{line}"
        );
    }
    let address = format!("unix-l:{}", dir.path().join("bad").display());
    assert_eq!(run(&["--mode", "888", &address, "echo:"], "").status, 2);
}

#[test]
fn an_abstract_socket_connects_two_bridges() {
    let name = format!("@wsbridge-test-{}", std::process::id());
    let inner = Bridge::start(&[&format!("unix-l:{name}"), "echo:"]);
    let outer = Bridge::start(&["ws-l:0", &format!("unix:{name}")]);
    let mut ws = outer.client();
    assert_eq!(
        ws.binary(b"through").next(),
        Frame::Binary(b"through".to_vec())
    );
    assert!(inner.place.contains(&name), "{}", inner.place);
    assert!(!std::path::Path::new(&name).exists());
    let again = run(&[&format!("unix-l:{name}"), "echo:"], "");
    assert_eq!(again.status, 7, "{}", again.stderr);
}
