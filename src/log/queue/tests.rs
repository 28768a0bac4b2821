use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::task::Wake;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Tells what was lost in the queue itself.
const PLAIN: Hooks = Hooks {
    show: |_| false,
    tell_lost: |queue, lines| queue.line(format!("{lines} lost\n").as_bytes()),
};

/// A queue that leads to a FIFO, and the FIFO, which is open and not read yet.
fn fifo() -> (Arc<Queue>, File, PathBuf) {
    let folder = tempfile::tempdir().unwrap().keep();
    let path = folder.join("fifo");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), 0).unwrap();
    // Open both ways it waits for nobody.
    let both = OpenOptions::new().read(true).write(true).open(&path);
    let both = both.unwrap();
    let queue = Queue::start(both.try_clone().unwrap(), PLAIN).unwrap();
    (queue, both, folder)
}

/// Reads until `end` has come.
fn until(mut from: &File, end: &str) -> String {
    let (mut seen, mut buf) = (Vec::new(), [0; 65536]);
    while !seen.ends_with(end.as_bytes()) {
        let count = from.read(&mut buf).unwrap();
        seen.extend_from_slice(&buf[..count]);
    }
    String::from_utf8(seen).unwrap()
}

fn remove(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn who_logs_never_waits_and_what_is_lost_is_counted_where_it_was() {
    let (queue, reader, folder) = fifo();
    // Far more than a pipe and the queue hold.
    const COUNT: u64 = 30_000;
    for number in 0..COUNT {
        queue.line(format!("{number:0>99}\n").as_bytes());
    }
    assert!(queue.lock().lines <= LINES);
    queue.finish(Duration::ZERO);
    let seen = until(&reader, " lost\n");
    let mut lines: Vec<_> = seen.lines().collect();
    let lost = lines.pop().unwrap().strip_suffix(" lost").unwrap();
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("{number:0>99}"));
    }
    assert_eq!(lines.len() as u64 + lost.parse::<u64>().unwrap(), COUNT);
    // And it goes on as before.
    queue.line(b"later\n");
    assert_eq!(until(&reader, "later\n"), "later\n");
    queue.finish(HOUR);
    remove(&folder);
}

#[test]
fn the_last_lines_are_taken_though_the_queue_is_full() {
    let (queue, reader, folder) = fifo();
    for _ in 0..30_000 {
        queue.line(&[b'x'; 100]);
    }
    queue.take_all();
    queue.line(b"the end\n");
    let seen = until(&reader, "the end\n");
    assert!(seen.ends_with(" lost\nthe end\n"));
    remove(&folder);
}

#[test]
fn a_source_waits_for_itself_alone_and_not_after_a_stop() {
    let (queue, reader, folder) = fifo();
    let (own, another) = (Release::default(), Release::default());
    let (loud, quiet) = (Source::new(&queue, &own), Source::new(&queue, &own));
    let piece = || [b"x".repeat(99), b"\n".to_vec()].concat().repeat(1000);
    while loud.has_room() {
        loud.push(piece());
    }
    assert!(quiet.has_room(), "another session waits");
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    assert!(!loud.has_room_or_wakes(&waker));
    let is_woken = || flag.0.swap(false, Ordering::AcqRel);
    assert!(!is_woken());
    // It is read, and there is room again.
    quiet.push(b"quiet\n".to_vec());
    until(&reader, "quiet\n");
    queue.finish(HOUR);
    assert!(is_woken() && loud.has_room());
    // Nobody reads, and all is over.
    while loud.has_room() {
        loud.push(piece());
    }
    assert!(!loud.has_room_or_wakes(&waker));
    queue.release(&another);
    assert!(!is_woken() && !loud.has_room(), "another bridge stops");
    queue.release(&own);
    assert!(is_woken() && loud.has_room());
    for _ in 0..100 {
        loud.push(piece());
    }
    assert!(queue.lock().dumps <= RELEASED);
    queue.line(b"the end\n");
    let seen = until(&reader, " lost\n");
    let (before, lost) = seen.split_once("the end\n").unwrap();
    let shown = before.lines().count();
    let lost: usize = lost.strip_suffix(" lost\n").unwrap().parse().unwrap();
    assert_eq!((shown + lost) % 1000, 0);
    assert!(lost > 80_000 && shown > 2000, "{shown} and {lost}");
    remove(&folder);
}

#[test]
fn many_sources_share_what_one_may_have_and_each_has_some() {
    let (queue, reader, folder) = fifo();
    let sources: Vec<_> = (0..1500)
        .map(|_| Source::new(&queue, &Release::default()))
        .collect();
    for source in &sources {
        source.push(vec![b'\n'; LEAST_DUMP - 1]);
    }
    assert!(sources.iter().all(|source| source.has_room()));
    for source in &sources {
        source.push(vec![b'\n'; LEAST_DUMP + 1]);
    }
    // Only what a pipe holds is written.
    let free = sources.iter().filter(|source| source.has_room()).count();
    assert!(free < 10, "{free}");
    drop(reader);
    remove(&folder);
}

#[test]
fn an_end_waits_while_something_is_written_and_no_longer() {
    let (queue, reader, folder) = fifo();
    queue.settle(Duration::ZERO, &Release::default());
    let source = Source::new(&queue, &Release::default());
    // More than a pipe holds.
    source.push(vec![b'\n'; 200_000]);
    queue.settle(Duration::from_millis(10), &Release::default());
    queue.finish(Duration::from_millis(10));
    assert!(queue.lock().dumps > 0);
    let reading = thread::spawn(move || {
        let mut all = vec![0; 200_000];
        (&reader).read_exact(&mut all).unwrap();
        reader
    });
    queue.settle(HOUR, &Release::default());
    assert_eq!(queue.lock().dumps, 0);
    let _reader = reading.join().unwrap();
    remove(&folder);
}

#[test]
fn of_progress_the_newest_is_drawn_and_the_last_one_stays() {
    let (queue, reader, folder) = fifo();
    queue.line(b"first\n");
    queue.finish(HOUR);
    assert_eq!(until(&reader, "first\n"), "first\n");
    queue.progress("half".to_owned(), false);
    queue.finish(HOUR);
    queue.line(b"between\n");
    queue.progress("whole".to_owned(), true);
    queue.finish(HOUR);
    let seen = until(&reader, "whole\x1b[K\n");
    assert_eq!(seen, "\rhalf\x1b[K\r\x1b[Kbetween\n\rwhole\x1b[K\n");
    remove(&folder);
}
