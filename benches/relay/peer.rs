//! The programs of others, and the commands that start them and ours on each route.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::content::Kind;
use crate::contestant::{Launches, Place, Route};
use crate::process::Launch;

/// A program of others.
pub struct Peer {
    pub name: &'static str,
    pub program: &'static str,
    pub is_plain: bool,
    pub keeps_newlines: bool,
    pub most: usize,
    /// Whether what was found is it.
    pub check: fn(&Path) -> bool,
    pub install: &'static str,
    pub launches: Launches,
}

/// As many as are measured.
pub const MANY: usize = usize::MAX;
/// Two threads for each connection.
pub const THREADS: usize = 1000;
/// A process for each connection.
const PROCESSES: usize = 64;

/// All of them; a name that is there twice may be found under two program names.
pub const PEERS: &[Peer] = &[
    Peer {
        name: "nginx",
        program: "nginx",
        is_plain: true,
        keeps_newlines: false,
        most: MANY,
        check: has_stream,
        install: "apt install nginx-light libnginx-mod-stream",
        launches: nginx,
    },
    Peer {
        name: "haproxy",
        program: "haproxy",
        is_plain: true,
        keeps_newlines: false,
        most: MANY,
        check: |_| true,
        install: "apt install haproxy",
        launches: haproxy,
    },
    Peer {
        name: "socat",
        program: "socat",
        is_plain: true,
        keeps_newlines: false,
        most: PROCESSES,
        check: |_| true,
        install: "apt install socat",
        launches: socat,
    },
    Peer {
        name: "websocat4",
        program: "websocat4",
        is_plain: false,
        keeps_newlines: false,
        most: MANY,
        check: |path| version(path).contains("websocat 4"),
        install: "cargo install websocat --version 4.0.0-alpha3 --locked --root DIR; DIR/bin/websocat as websocat4 on PATH",
        launches: websocat4,
    },
    Peer {
        name: "websocat4",
        program: "websocat",
        is_plain: false,
        keeps_newlines: false,
        most: MANY,
        check: |path| version(path).contains("websocat 4"),
        install: "",
        launches: websocat4,
    },
    Peer {
        name: "websocat1",
        program: "websocat",
        is_plain: false,
        keeps_newlines: true,
        most: MANY,
        check: |path| version(path).contains("websocat 1"),
        install: "cargo install websocat",
        launches: websocat1,
    },
    Peer {
        name: "websockify",
        program: "websockify",
        is_plain: false,
        keeps_newlines: false,
        most: PROCESSES,
        check: |_| true,
        install: "pip install websockify",
        launches: websockify,
    },
    Peer {
        name: "websocketd",
        program: "websocketd",
        is_plain: false,
        keeps_newlines: false,
        most: PROCESSES,
        // A program for each connection; the one that leads to TCP is socat.
        check: |_| find("socat").is_some(),
        install: "apt install websocketd socat",
        launches: websocketd,
    },
    Peer {
        name: "wstunnel",
        program: "wstunnel",
        is_plain: false,
        keeps_newlines: false,
        most: MANY,
        check: |path| version(path).starts_with("wstunnel"),
        // It is not on crates.io, or no longer.
        install: "cargo install --git https://github.com/erebe/wstunnel wstunnel-cli",
        launches: wstunnel,
    },
];

/// Finds a program on PATH, or where Debian keeps servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut files = dirs.map(|dir| dir.join(program));
    files.find(|file| file.is_file())
}

fn version(path: &Path) -> String {
    let output = Command::new(path).arg("--version").output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

fn has_stream(nginx: &Path) -> bool {
    let output = Command::new(nginx).arg("-V").output();
    let built_in = output.is_ok_and(|output| {
        let options = String::from_utf8_lossy(&output.stderr).into_owned();
        options
            .split_whitespace()
            .any(|word| word == "--with-stream")
    });
    built_in || Path::new(STREAM_MODULE).exists()
}

fn launch(program: &Path, port: Option<u16>, args: &[&str]) -> Launch {
    Launch {
        program: program.to_owned(),
        args: args.iter().map(ToString::to_string).collect(),
        port,
        is_piped: port.is_none(),
    }
}

/// A contestant that is started as `PROGRAM OPTIONS LEFT RIGHT` on every route, with these words for its ends.
fn two_addresses(program: &Path, route: Route, place: &Place<'_>, options: &[&str]) -> Vec<Launch> {
    let Place { port, middle, .. } = place;
    let tcp = format!("tcp:127.0.0.1:{}", place.target);
    let url = format!("ws://127.0.0.1:{}/", place.target);
    let listen = |scheme: &str, port: &u16| format!("{scheme}:127.0.0.1:{port}");
    let start = |port: &u16, left: &str, right: &str| {
        launch(program, Some(*port), &[options, &[left, right]].concat())
    };
    match route {
        Route::Serve => vec![start(port, &listen("ws-l", port), &tcp)],
        Route::Connect => vec![start(port, &listen("tcp-l", port), &url)],
        Route::Between => vec![start(port, &listen("ws-l", port), &url)],
        Route::Chain => vec![
            start(middle, &listen("ws-l", middle), &tcp),
            start(
                port,
                &listen("tcp-l", port),
                &format!("ws://127.0.0.1:{middle}/"),
            ),
        ],
        Route::Pipe | Route::Ask => vec![launch(program, None, &[options, &[&url]].concat())],
    }
}

/// Starts wsbridge.
pub fn wsbridge(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let connections = (place.connections + 64).to_string();
    let options: &[&str] = match route {
        Route::Pipe | Route::Ask => &["--linger", "0"],
        // A reader that never reads answers no ping either.
        _ => &["--ping", "0", "--max-connections", &connections],
    };
    Some(two_addresses(program, route, place, options))
}

fn websocat4(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let options: &[&str] = match route {
        Route::Pipe => &["-E"],
        Route::Ask => &[],
        _ => &["-b"],
    };
    Some(two_addresses(program, route, place, options))
}

fn websocat1(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let options: &[&str] = match (route, place.kind) {
        (Route::Pipe, _) => &["-E"],
        (Route::Ask, _) => &[],
        (_, Kind::Lines) => &["-t"],
        (_, Kind::Noise) => &["-b"],
    };
    Some(two_addresses(program, route, place, options))
}

/// Starts the plain relay.
pub fn relay(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let start = |port: u16, target: u16| {
        let args = ["--relay", &port.to_string(), &target.to_string()];
        launch(program, Some(port), &args)
    };
    let Place {
        port,
        middle,
        target,
        ..
    } = *place;
    Some(match route {
        Route::Serve | Route::Connect | Route::Between => vec![start(port, target)],
        Route::Chain => vec![start(middle, target), start(port, middle)],
        Route::Pipe | Route::Ask => vec![launch(program, None, &["--pipe", &target.to_string()])],
    })
}

/// A TCP relay by a configuration file.
fn configured(
    program: &Path,
    route: Route,
    place: &Place<'_>,
    config: &str,
    args: &[&str],
) -> Option<Vec<Launch>> {
    // It knows no WebSocket: in the other role it would be the same once more.
    if route != Route::Serve {
        return None;
    }
    let file = place.dir.join(format!("{}.conf", place.port));
    fs::write(&file, config).ok()?;
    let file = file.to_string_lossy();
    let args = [args, &[&*file]].concat();
    Some(vec![launch(program, Some(place.port), &args)])
}

fn nginx(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let module = match Path::new(STREAM_MODULE).exists() {
        true => format!("load_module {STREAM_MODULE};"),
        false => String::new(),
    };
    let Place { port, target, .. } = place;
    let pid = place.dir.join(format!("{port}.pid"));
    let config = format!(
        "{module}\ndaemon off;\nworker_processes auto;\nworker_rlimit_nofile 20000;\npid {};\n\
         error_log /dev/null;\nevents {{ worker_connections 15000; }}\n\
         stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{target}; tcp_nodelay on; }} }}\n",
        pid.display()
    );
    configured(program, route, place, &config, &["-e", "/dev/null", "-c"])
}

fn haproxy(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let Place { port, target, .. } = place;
    let config = format!(
        "global\n  maxconn 8000\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 2m\n  timeout server 2m\n\
         listen relay\n  bind 127.0.0.1:{port}\n  server target 127.0.0.1:{target}\n"
    );
    configured(program, route, place, &config, &["-db", "-f"])
}

fn socat(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let listen = format!(
        "TCP-LISTEN:{},bind=127.0.0.1,reuseaddr,fork,nodelay",
        place.port
    );
    let connect = format!("TCP:127.0.0.1:{},nodelay", place.target);
    (route == Route::Serve).then(|| vec![launch(program, Some(place.port), &[&listen, &connect])])
}

fn websockify(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let listen = format!("127.0.0.1:{}", place.port);
    let target = format!("127.0.0.1:{}", place.target);
    (route == Route::Serve).then(|| vec![launch(program, Some(place.port), &[&listen, &target])])
}

fn websocketd(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let port = format!("--port={}", place.port);
    let target = format!("TCP:127.0.0.1:{},nodelay", place.target);
    let args = [
        "--address=127.0.0.1",
        &port,
        "--binary",
        "--loglevel=fatal",
        "socat",
        "-",
        &target,
    ];
    (route == Route::Serve).then(|| vec![launch(program, Some(place.port), &args)])
}

fn wstunnel(program: &Path, route: Route, place: &Place<'_>) -> Option<Vec<Launch>> {
    let Place {
        port,
        middle,
        target,
        ..
    } = place;
    let url = format!("ws://127.0.0.1:{middle}");
    let forward = format!("tcp://127.0.0.1:{port}:127.0.0.1:{target}");
    let server = ["--log-lvl=OFF", "server", &url];
    let client = ["--log-lvl=OFF", "client", "-L", &forward, &url];
    (route == Route::Chain).then(|| {
        vec![
            launch(program, Some(*middle), &server),
            launch(program, Some(*port), &client),
        ]
    })
}
