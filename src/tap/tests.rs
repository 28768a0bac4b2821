use std::future::poll_fn;
use std::io::Read;
use std::path::Path;
use std::task::Waker;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::log::Hooks;
use crate::peer::{MessageStreamExt, Opened, Pipe, pipe};

/// A side that is shown in one file and recorded in another.
fn taps(folder: &Path) -> Taps {
    let hooks = Hooks {
        show: |_| false,
        tell_lost: |_, _| {},
        due: || None,
        tell_due: || {},
    };
    let dump = std::fs::File::create(folder.join("dump")).unwrap();
    Taps {
        left: Sinks {
            dump: Some(Queue::start(dump, hooks).unwrap()),
            tee: Some(Arc::new(
                Recorder::open(&folder.join("tee"), &Rereads::default()).unwrap(),
            )),
        },
        ..Taps::default()
    }
}

/// What the files of `taps` hold when all is written.
async fn written(taps: Taps, folder: &Path) -> (String, Vec<u8>) {
    taps.drained(Duration::from_secs(60)).await;
    assert!(!taps.has_failed());
    let read = |name| std::fs::read(folder.join(name)).unwrap();
    (String::from_utf8(read("dump")).unwrap(), read("tee"))
}

fn messages(pipe: Pipe) -> Messages {
    Opened::from(pipe).into_messages(&Memory::default())
}

async fn send(pipe: &mut Pipe, event: Event) {
    poll_fn(|cx| pipe.poll_ready(cx)).await.unwrap();
    match event {
        Event::Fragment(fragment) => pipe.start_send(fragment.into()).unwrap(),
        Event::Batch(batch) => pipe.start_send(batch.into()).unwrap(),
        Event::Gap(gap) => pipe.start_send(gap.into()).unwrap(),
        Event::End(why) => poll_fn(|cx| pipe.poll_close(cx, &why)).await.unwrap(),
    }
}

fn batch(kind: Kind, messages: &[Vec<u8>]) -> Batch {
    let (mut bytes, mut spans) = (BytesMut::new(), Vec::new());
    for message in messages {
        let begin = u32::try_from(bytes.len()).unwrap();
        bytes.extend_from_slice(message);
        spans.push((begin, u32::try_from(bytes.len()).unwrap()));
    }
    Batch::new(kind, bytes, spans)
}

/// Messages in pieces, and batches of them.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let kind = prop_oneof![Just(Kind::Text), Just(Kind::Binary)];
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..4);
    let events = (kind, pieces, any::<bool>()).prop_map(|(kind, pieces, is_batch)| {
        if is_batch {
            return vec![Event::Batch(batch(kind, &pieces))];
        }
        let last = pieces.len() - 1;
        let piece = |(at, bytes): (usize, &Vec<u8>)| {
            Event::Fragment(Fragment {
                fin: at == last,
                ..Fragment::whole(kind, bytes)
            })
        };
        pieces.iter().enumerate().map(piece).collect()
    });
    prop::collection::vec(events, 0..12).prop_map(|events| events.concat())
}

/// What stdout would have.
fn printed(events: &[Event]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut print = |kind, bytes: &[u8], fin| {
        all.extend_from_slice(bytes);
        if fin && kind == Kind::Text {
            all.push(b'\n');
        }
    };
    for event in events {
        match event {
            Event::Fragment(piece) => print(piece.kind, &piece.payload, piece.fin),
            Event::Batch(batch) => batch.messages().for_each(|it| print(batch.kind, it, true)),
            Event::Gap(_) | Event::End(_) => {}
        }
    }
    all
}

/// The bytes that a dump shows, out of its columns of digits.
fn shown(dump: &str) -> Vec<u8> {
    let rows = dump.lines().filter(|line| !line.starts_with('>'));
    let digits = rows.flat_map(|row| row[10..58].split_whitespace());
    digits
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

fn payload(events: &[Event]) -> Vec<u8> {
    let bytes = events.iter().flat_map(|event| match event {
        Event::Fragment(piece) => piece.payload.to_vec(),
        Event::Batch(batch) => batch.messages().collect::<Vec<_>>().concat(),
        Event::Gap(_) | Event::End(_) => Vec::new(),
    });
    bytes.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_passes_unchanged_and_is_seen(mut events in events()) {
        events.push(Event::End(Ending::Eof));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let taps = taps(folder.path());
            let (near, mut far) = pipe();
            let mut tap = taps.watch(Side::Left, "").unwrap().over(messages(near)).stream;
            for event in &events {
                send(&mut far, event.clone()).await;
                prop_assert_eq!(&tap.next().await, event);
            }
            let (dump, tee) = written(taps, folder.path()).await;
            prop_assert_eq!(tee, printed(&events));
            prop_assert_eq!(shown(&dump), payload(&events));
            prop_assert!(dump.ends_with(" end: eof\n"), "{}", dump);
            // The other way nothing is touched either.
            for event in events {
                send_to(&mut *tap, event.clone()).await;
                prop_assert_eq!(far.next().await, event);
            }
            Ok(())
        })?;
    }
}

async fn send_to(stream: &mut dyn MessageStream, event: Event) {
    poll_fn(|cx| stream.poll_ready(cx)).await.unwrap();
    match event {
        Event::Fragment(fragment) => stream.start_send(fragment.into()).unwrap(),
        Event::Batch(batch) => stream.start_send(batch.into()).unwrap(),
        Event::Gap(gap) => stream.start_send(gap.into()).unwrap(),
        Event::End(why) => poll_fn(|cx| stream.poll_close(cx, &why)).await.unwrap(),
    }
}

#[tokio::test]
async fn messages_of_two_sessions_are_not_mixed_and_a_broken_one_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let taps = taps(folder.path());
    let mut sessions = ["one", "two"].map(|caller| {
        let (near, far) = pipe();
        let watch = taps.watch(Side::Left, caller).unwrap();
        (far, watch.over(messages(near)).stream)
    });
    for (session, text, fin) in [
        (0, "hel", false),
        (1, "between", true),
        (0, "lo", true),
        (0, "half", false),
    ] {
        let (far, tap) = &mut sessions[session];
        let piece = Event::Fragment(Fragment {
            fin,
            ..Fragment::text(text)
        });
        send(far, piece.clone()).await;
        assert_eq!(tap.next().await, piece);
    }
    drop(sessions);
    let (dump, tee) = written(taps, folder.path()).await;
    assert_eq!(tee, b"between\nhello\nhalf");
    let heads: Vec<_> = dump
        .lines()
        .filter_map(|line| line.split_once("Z "))
        .map(|head| head.1)
        .collect();
    assert_eq!(
        heads,
        [
            "text 3 bytes, more follows",
            "text 7 bytes",
            "text 2 bytes",
            "text 4 bytes, more follows"
        ]
    );
    assert!(
        dump.contains("00000003  6c 6f "),
        "offsets go on within a message: {dump}"
    );
}

#[tokio::test]
async fn what_is_not_written_yet_holds_up_the_source_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    // Open both ways it waits for nobody; nothing is read from it yet.
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let options = Options {
        dump: false,
        tee: Some(path),
    };
    let taps = Taps::open(
        &[options, Options::default()],
        false,
        &Memory::default(),
        &Rereads::default(),
        &Release::default(),
    )
    .unwrap();
    let (near, mut far) = pipe();
    let mut tap = taps
        .watch(Side::Left, "")
        .unwrap()
        .over(messages(near))
        .stream;
    const COUNT: usize = 20;
    let message = Fragment::binary(vec![7; 200_000]);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut sent, mut taken) = (0, 0);
    while far.poll_ready(&mut cx).is_ready() {
        far.start_send(message.clone().into()).unwrap();
        sent += 1;
        taken += usize::from(tap.poll_next(&mut cx).is_ready());
        assert!(sent < COUNT, "nothing is held up");
    }
    assert!(taken >= 2, "only {taken} were let through");
    let reading = tokio::task::spawn_blocking(move || {
        let mut all = vec![0; COUNT * 200_000];
        (&reader).read_exact(&mut all).unwrap();
        all.iter().all(|&byte| byte == 7)
    });
    while taken < COUNT {
        if sent < COUNT && far.poll_ready(&mut cx).is_ready() {
            far.start_send(message.clone().into()).unwrap();
            sent += 1;
        }
        let event = tap.next().await;
        assert_eq!(event, Event::Fragment(message.clone()));
        taken += 1;
    }
    taps.drained(Duration::from_secs(60)).await;
    assert!(reading.await.unwrap());
}
