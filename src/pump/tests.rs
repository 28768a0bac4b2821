//! The pump between scripted peers on paused time: nothing here waits for a clock.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::*;
use crate::ending::{Cause, Close, Loss, Violation};
use crate::framing::Framing;
use crate::memory::Memory;
use crate::message::{Batch, Fragment, Kind};
use crate::peer::wire::Wire;
use crate::peer::{Event, MessageStream, Opened};
use crate::peer::{MessageStreamExt, Pipe, Spent, StreamFacts, Tally, pipe};

/// What kind of peer a script plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Half-closes, as TCP does.
    Bytes,
    /// Ends with a closing handshake.
    Socket,
    /// Standard input and output.
    Local,
    /// Never ends.
    Datagrams,
}

/// The pump's end of a scripted peer.
struct Scripted {
    pipe: Pipe,
    shape: Shape,
    is_cut: bool,
    /// Bytes that its system has yet to take, and when it has.
    queued: Option<(usize, Instant)>,
}

impl Scripted {
    fn opened(pipe: Pipe, shape: Shape) -> Messages {
        Scripted::queueing(pipe, shape, None)
    }

    fn queueing(pipe: Pipe, shape: Shape, queued: Option<(usize, Instant)>) -> Messages {
        let has_no_end = shape == Shape::Datagrams;
        let stream = Scripted {
            pipe,
            shape,
            is_cut: false,
            queued,
        };
        let facts = StreamFacts {
            is_local: shape == Shape::Local,
            has_no_end,
            is_feed: has_no_end,
            ..StreamFacts::default()
        };
        Messages {
            stream: Box::new(stream),
            facts,
        }
    }
}

impl MessageStream for Scripted {
    fn take(&mut self) -> Option<Event> {
        match self.pipe.take() {
            // Whoever reads our stdout can go without ending our stdin.
            Some(Event::End(Ending::Lost(Loss::NoClose))) if self.shape == Shape::Local => {
                self.is_cut = true;
                None
            }
            other => other,
        }
    }
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_cut {
            return Poll::Pending;
        }
        self.pipe.poll_more(cx)
    }
    fn spent(&mut self) -> Spent {
        self.pipe.spent()
    }
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.pipe.poll_ready(cx)
    }
    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        self.pipe.start_send(event)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.pipe.poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.pipe.poll_close(cx, why)
    }
    fn unsent(&self) -> usize {
        let queued = self.queued.filter(|(_, until)| Instant::now() < *until);
        queued.map_or(0, |(bytes, _)| bytes)
    }
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.pipe.poll_cut(cx)
    }
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.pipe.poll_gone(cx)
    }
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.pipe.poll_reset(cx)
    }
    fn notify(&mut self, notice: Notice) {
        self.pipe.notify(notice);
    }
    fn is_closed(&self) -> bool {
        self.pipe.is_closed()
    }
    fn tally(&self) -> Tally {
        Tally {
            half_closes: self.shape != Shape::Socket,
            ..self.pipe.tally()
        }
    }
}

/// What the other end of a scripted peer does and expects, in order.
#[derive(Clone, Debug)]
enum Step {
    /// `R text`: the pump reads this.
    Read(String),
    /// `W text`: the pump writes this.
    Written(String),
    /// `D ms`: nothing, for so long.
    Delay(u64),
    /// `T`: the pump tells the end.
    Told,
    /// The pump reads this end.
    End(Ending),
    /// `!`: the peer is gone without an end; what is written to it fails.
    Gone,
}

fn steps(script: &str) -> Vec<Step> {
    let step = |part: &str| match part.split_at_checked(1).unwrap_or((part, "")) {
        ("R", text) => Step::Read(text.trim().to_owned()),
        ("W", text) => Step::Written(text.trim().to_owned()),
        ("D", ms) => Step::Delay(ms.trim().parse().unwrap()),
        ("T", "") => Step::Told,
        ("E", "") => Step::End(Ending::Eof),
        ("C", code) => Step::End(Ending::Close(Close::new(code.trim().parse().unwrap(), ""))),
        ("X", "") => Step::End(Ending::Lost(Loss::Reset)),
        ("!", "") => Step::Gone,
        _ => panic!("no step: {part}"),
    };
    script
        .split('|')
        .filter(|part| !part.is_empty())
        .map(step)
        .collect()
}

/// Plays a script; returns what was written beyond it and how the pump told the end, if it did.
async fn play(mut far: Pipe, steps: Vec<Step>, told: Arc<Mutex<Option<Ending>>>) -> Vec<String> {
    let mut extra = Vec::new();
    for step in steps {
        match step {
            Step::Read(text) => {
                // It may come too late, which is then the thing tested.
                if poll_fn(|cx| far.poll_ready(cx)).await.is_ok() {
                    far.start_send(Fragment::text(&text).into()).unwrap();
                }
            }
            Step::Written(text) => match far.next().await {
                Event::Fragment(fragment) => assert_eq!(fragment.payload, text.as_bytes()),
                other => panic!("{other:?} instead of {text}"),
            },
            Step::Delay(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Told => match far.next().await {
                Event::End(ending) => *told.lock().unwrap() = Some(ending),
                other => panic!("{other:?} instead of the end"),
            },
            Step::End(ending) => {
                // A queue takes its end at once.
                let _ = poll_fn(|cx| far.poll_close(cx, &ending)).await;
            }
            Step::Gone => return extra,
        }
    }
    // Nothing more to do but to see what comes.
    loop {
        match far.next().await {
            Event::Fragment(fragment) => {
                extra.push(String::from_utf8_lossy(&fragment.payload).into_owned());
            }
            Event::Batch(batch) => {
                let texts = batch.messages().map(String::from_utf8_lossy);
                extra.extend(texts.map(std::borrow::Cow::into_owned));
            }
            Event::Gap(gap) => panic!("{gap}"),
            Event::End(Ending::Lost(Loss::NoClose)) if told.lock().unwrap().is_some() => {
                return extra;
            }
            Event::End(ending) => {
                told.lock().unwrap().get_or_insert(ending);
                return extra;
            }
        }
    }
}

struct Played {
    outcome: Outcome,
    left_told: Option<Ending>,
    right_told: Option<Ending>,
    left_extra: Vec<String>,
    right_extra: Vec<String>,
    took: Duration,
}

async fn play_both(
    left: (Shape, Vec<Step>),
    right: (Shape, Vec<Step>),
    options: &Options,
    stop_after: Option<u64>,
) -> Played {
    let begun = Instant::now();
    let (left_near, left_far) = pipe();
    let (right_near, right_far) = pipe();
    let (left_told, right_told) = (Arc::default(), Arc::default());
    let left_task = tokio::spawn(play(left_far, left.1, Arc::clone(&left_told)));
    let right_task = tokio::spawn(play(right_far, right.1, Arc::clone(&right_told)));
    let outcome = pump(
        Scripted::opened(left_near, left.0),
        Scripted::opened(right_near, right.0),
        options,
        std::pin::pin!(async move {
            match stop_after {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            Stop::Terminate
        }),
    )
    .await;
    let took = begun.elapsed();
    let (left_extra, right_extra) = (left_task.await.unwrap(), right_task.await.unwrap());
    let taken = |told: Arc<Mutex<Option<Ending>>>| told.lock().unwrap().take();
    Played {
        outcome,
        left_told: taken(left_told),
        right_told: taken(right_told),
        left_extra,
        right_extra,
        took,
    }
}

async fn scripts(left: (Shape, &str), right: (Shape, &str), options: &Options) -> Played {
    let play = play_both(
        (left.0, steps(left.1)),
        (right.0, steps(right.1)),
        options,
        None,
    );
    tokio::time::timeout(Duration::from_secs(3600), play)
        .await
        .expect("the pump hangs")
}

fn close(code: u16) -> Ending {
    Ending::Close(Close::new(code, ""))
}

use Shape::{Bytes, Datagrams, Local, Socket};

#[tokio::test(start_paused = true)]
async fn a_question_and_its_answer() {
    let played = scripts(
        (Socket, "R hello|W world|C1000|T"),
        (Bytes, "W hello|R world|T|E"),
        &Options::default(),
    )
    .await;
    assert_eq!(played.right_told, Some(close(1000)));
    assert_eq!(played.left_told, Some(Ending::Eof));
    assert_eq!(
        played.outcome.left_to_right,
        Counts {
            messages: 1,
            bytes: 5
        }
    );
    assert_eq!(
        played.outcome.right_to_left,
        Counts {
            messages: 1,
            bytes: 5
        }
    );
    assert_eq!(played.outcome.exit_status(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_close_the_other_side_has_the_linger_time_to_answer() {
    let options = Options::default();
    let left = (Socket, "R ask|C1000|W late|T");
    let played = scripts(left, (Bytes, "W ask|T|D1900|R late|E"), &options).await;
    assert_eq!(played.outcome.right, Ending::Eof);
    let played = scripts(
        (Socket, "R ask|C1000|T"),
        (Bytes, "W ask|T|D5000|R late|E"),
        &options,
    )
    .await;
    let linger = Duration::from_secs(2);
    assert_eq!(played.outcome.right, Ending::LingerExpired(linger));
    assert_eq!(
        (played.took.as_millis(), played.outcome.exit_status()),
        (2000, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn after_our_close_what_the_peer_still_sends_is_delivered() {
    let played = scripts(
        (Socket, "T|D9000|R more|C1000"),
        (Bytes, "E|W more|T"),
        &Options::default(),
    )
    .await;
    assert_eq!(played.left_told, Some(Ending::Eof));
    assert_eq!(played.outcome.left_to_right.messages, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_our_close_has_the_close_timeout() {
    let played = scripts((Socket, "T|D60000"), (Bytes, "E"), &Options::default()).await;
    assert_eq!(played.outcome.left, Ending::Deadline(Deadline::Close));
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (10, 28)
    );
}

/// That the peer's system takes our Close from ours is no sign of life of the peer.
#[tokio::test(start_paused = true)]
async fn a_close_that_leaves_the_queue_gives_no_more_time_to_answer_it() {
    for (queued, seconds) in [(8, 10), (100_000, 11)] {
        let (left_near, left_far) = pipe();
        let (right_near, mut right_far) = pipe();
        let queued = (queued, Instant::now() + Duration::from_millis(1));
        let left = Scripted::queueing(left_near, Socket, Some(queued));
        let end = poll_fn(|cx| right_far.poll_close(cx, &Ending::Eof)).await;
        assert_eq!(end, Ok(()));
        let begun = Instant::now();
        let right = Scripted::opened(right_near, Bytes);
        let outcome = pump(left, right, &Options::default(), std::future::pending()).await;
        assert_eq!(outcome.left, Ending::Deadline(Deadline::Close));
        assert_eq!(begun.elapsed().as_secs(), seconds);
        drop(left_far);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_stdin_waits_for_quiet() {
    let options = Options {
        linger: Some(Duration::from_secs(1)),
        ..Options::default()
    };
    let right = (Socket, "W ask|D900|R one|D900|R two|T|C1000");
    let played = scripts((Local, "R ask|E|W one|W two"), right, &options).await;
    assert_eq!(
        (played.took.as_millis(), played.outcome.exit_status()),
        (2800, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_no_end_is_left_when_no_more_answers_come() {
    let right = || (Datagrams, "W ask|T|D900|R one|D900|R two|D60000");
    for (shape, linger, took) in [(Local, 1, 2800), (Bytes, 2, 3800)] {
        let options = Options {
            linger: Some(Duration::from_secs(linger)),
            ..Options::default()
        };
        let played = scripts((shape, "R ask|E|W one|W two"), right(), &options).await;
        assert_eq!(played.left_extra, [""; 0], "{shape:?}");
        assert_eq!(
            (played.took.as_millis(), played.outcome.exit_status()),
            (took, 0),
            "{shape:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_sent_too_long_a_message_is_told_so() {
    let played = play_both(
        (Socket, steps("R long|T")),
        (
            Bytes,
            vec![Step::End(Ending::TooLong {
                limit: 3,
                is_set: true,
            })],
        ),
        &Options::default(),
        None,
    )
    .await;
    assert_eq!(
        played.left_told,
        Some(Ending::TooLong {
            limit: 3,
            is_set: true
        })
    );
    assert_eq!(played.outcome.exit_status(), 63);
}

#[tokio::test(start_paused = true)]
async fn without_linger_the_end_of_stdin_closes_at_once_and_with_no_close_never() {
    let options = Options {
        linger: Some(Duration::ZERO),
        ..Options::default()
    };
    let played = scripts(
        (Local, "R ask|E|W late"),
        (Socket, "W ask|T|R late|C1000"),
        &options,
    )
    .await;
    assert_eq!(played.took, Duration::ZERO);
    let options = Options {
        keeps_open: true,
        ..Options::default()
    };
    let right = (Socket, "W ask|D3000000|R late|C4000|T");
    let played = scripts((Local, "R ask|E|W late"), right, &options).await;
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (3000, 111)
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_ends_the_session_while_stdin_is_open() {
    let played = scripts(
        (Local, "R ask|W answer|D60000"),
        (Socket, "W ask|R answer|C1000|T"),
        &Options::default(),
    )
    .await;
    assert_eq!(
        (played.took, played.outcome.exit_status()),
        (Duration::ZERO, 0)
    );
    assert_eq!(played.outcome.left, Ending::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_stdout_that_goes_ends_the_session_quietly() {
    let played = scripts(
        (Local, "W one|!"),
        (Socket, "R one|D10|R two|T|C1000"),
        &Options::default(),
    )
    .await;
    assert_eq!(
        (played.outcome.left.clone(), played.outcome.exit_status()),
        (Ending::ReaderGone, 0)
    );
    assert_eq!(played.right_told, Some(Ending::ReaderGone));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_stops_is_left_when_nobody_reads_it() {
    let says = "D100|R more|".repeat(100);
    let played = scripts(
        (Local, "W one|!"),
        (Socket, &format!("R one|{says}")),
        &Options::default(),
    )
    .await;
    assert_eq!(
        (played.outcome.left.clone(), played.outcome.exit_status()),
        (Ending::ReaderGone, 0)
    );
    assert_eq!(played.right_told, Some(Ending::ReaderGone));
    assert!(
        played.took <= LEAVE + Duration::from_millis(100),
        "{:?}",
        played.took
    );
}

#[tokio::test(start_paused = true)]
async fn one_message_each_way_and_no_more() {
    let options = Options {
        linger: Some(Duration::from_secs(1)),
        left_to_right: Copied::Messages(1),
        right_to_left: Copied::Messages(1),
        ..Options::default()
    };
    let played = scripts(
        (Local, "R a|R b|W x"),
        (Socket, "W a|D300|R x|R y|T|C1000"),
        &options,
    )
    .await;
    assert_eq!((played.left_extra, played.right_extra), (vec![], vec![]));
    assert_eq!(
        (played.took.as_millis(), played.outcome.exit_status()),
        (300, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn one_direction_only() {
    let options = Options {
        right_to_left: Copied::Nothing,
        ..Options::default()
    };
    let played = scripts(
        (Local, "R a|D5|E"),
        (Socket, "R x|W a|R y|T|C1000"),
        &options,
    )
    .await;
    assert_eq!(
        (played.left_extra.len(), played.outcome.exit_status()),
        (0, 0)
    );
    let options = Options {
        left_to_right: Copied::Nothing,
        ..Options::default()
    };
    let played = scripts((Local, "R a|W x"), (Socket, "R x|D5|C1000|T"), &options).await;
    assert_eq!(
        (played.right_extra.len(), played.outcome.exit_status()),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn idle_time_ends_a_session_in_which_nothing_moves() {
    let options = Options {
        idle: Some(Duration::from_secs(5)),
        ..Options::default()
    };
    let played = scripts(
        (Socket, "R a|D4000|R b|T|C1001"),
        (Bytes, "W a|W b|T"),
        &options,
    )
    .await;
    assert_eq!(played.outcome.left, Ending::Deadline(Deadline::Idle));
    assert_eq!(played.right_told, Some(Ending::Deadline(Deadline::Idle)));
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (9, 28)
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_ends_a_session_that_is_not_idle() {
    let options = Options {
        max_time: Some(Duration::from_secs(5)),
        ..Options::default()
    };
    let played = scripts(
        (Socket, "R a|D4000|R b|D500|R c|T|C1001"),
        (Bytes, "W a|W b|W c|T"),
        &options,
    )
    .await;
    assert_eq!(played.outcome.left, Ending::Deadline(Deadline::Time));
    assert_eq!(played.right_told, Some(Ending::Deadline(Deadline::Time)));
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (5, 28)
    );
    // Also one half of which has ended long ago.
    let played = scripts((Bytes, "E|D20000|R x"), (Bytes, "T|D20000"), &options).await;
    assert_eq!(played.outcome.exit_status(), 28);
    assert_eq!(played.outcome.right, Ending::Deadline(Deadline::Time));
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_the_websocket_and_delivers_what_still_comes() {
    let options = Options::default();
    let right = (Bytes, steps("W a|W b|T"));
    let play = play_both(
        (Socket, steps("R a|T|R b|C1001")),
        right,
        &options,
        Some(1000),
    );
    let played = tokio::time::timeout(Duration::from_secs(60), play)
        .await
        .unwrap();
    assert_eq!(played.left_told, Some(Ending::Stopped(Stop::Terminate)));
    assert_eq!(played.right_told, Some(close(1001)));
    assert_eq!(
        (played.took.as_millis(), played.outcome.exit_status()),
        (1000, 143)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_until_nothing_is_under_way_and_cuts_what_goes_on() {
    let ticks = |count: usize| steps(&format!("W a{}|D300", "|R x|D100".repeat(count)));
    for (other, count, told, millis) in [
        // The last tick comes at 1900 ms.
        (Bytes, 20, Ending::Stopped(Stop::Terminate), 2150),
        // Itself told long ago, it leaves at 2300 ms.
        (Socket, 20, Ending::Stopped(Stop::Terminate), 2300),
        (Bytes, 200, Ending::Deadline(Deadline::Drain), 5000),
        // It is told so then, and answers no Close.
        (Socket, 200, Ending::Deadline(Deadline::Drain), 9000),
        // Whoever sits there wants to go, and datagrams are whole.
        (Local, 200, Ending::Stopped(Stop::Terminate), 1000),
        (Datagrams, 200, Ending::Stopped(Stop::Terminate), 1000),
    ] {
        let options = Options::default();
        let far = play_both(
            (Socket, steps("R a")),
            (other, ticks(count)),
            &options,
            Some(1000),
        );
        let played = tokio::time::timeout(Duration::from_secs(60), far)
            .await
            .unwrap();
        assert_eq!(
            (played.left_told, played.took.as_millis()),
            (Some(told), millis),
            "{other:?} {count}"
        );
    }
}

/// A side that answers is asked to end no sooner than who is answered: many say nothing more then.
#[tokio::test(start_paused = true)]
async fn a_stop_asks_nobody_while_either_side_says_something() {
    for (left, right, is_left, millis) in [
        (Socket, Socket, false, 2050),
        (Socket, Socket, true, 2050),
        (Bytes, Bytes, true, 2050),
        (Bytes, Bytes, false, 2050),
        (Socket, Bytes, true, 2050),
        // Bytes are ended when the WebSocket has answered, or will not.
        (Socket, Bytes, false, 8100),
    ] {
        let begun = Instant::now();
        let (left_near, mut left_far) = pipe();
        let (right_near, mut right_far) = pipe();
        let (speaker, hearer) = match is_left {
            true => (&mut left_far, &mut right_far),
            false => (&mut right_far, &mut left_far),
        };
        let speak = async {
            for step in 0..10 {
                poll_fn(|cx| speaker.poll_ready(cx)).await.unwrap();
                speaker.start_send(Fragment::text("x").into()).unwrap();
                // It hears nothing as long as it speaks.
                let heard = timeout(Duration::from_millis(200), speaker.next());
                assert!(heard.await.is_err(), "{left:?} {right:?} {step}");
            }
            speaker.next().await
        };
        let hear = async {
            for _ in 0..10 {
                let heard = hearer.next().await;
                assert!(matches!(heard, Event::Fragment(_)), "{heard:?}");
            }
        };
        let options = Options::default();
        let stop = std::pin::pin!(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Stop::Terminate
        });
        let pumped = pump(
            Scripted::opened(left_near, left),
            Scripted::opened(right_near, right),
            &options,
            stop,
        );
        let (told, ()) = tokio::select! {
            both = async { tokio::join!(speak, hear) } => both,
            () = async { drop(pumped.await); std::future::pending().await } => unreachable!(),
        };
        assert!(matches!(told, Event::End(_)), "{told:?}");
        assert_eq!(begun.elapsed().as_millis(), millis);
    }
}

/// What is read of a message before it can be passed on is under way, too.
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_rest_of_a_line() {
    let (near, mut far) = tokio::io::duplex(64);
    let (left_near, mut left_far) = pipe();
    let right = Opened::bytes(Box::new(Wire(near)), StreamFacts::of_bytes(Framing::LINES));
    let writer = async {
        for _ in 0..10 {
            far.write_all(b"x").await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        far.write_all(b"\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let options = Options::default();
    let stop = std::pin::pin!(async {
        tokio::time::sleep(Duration::from_millis(1000)).await;
        Stop::Terminate
    });
    let pumped = pump(
        Scripted::opened(left_near, Socket),
        right.into_messages(&Memory::default()),
        &options,
        stop,
    );
    let heard = tokio::select! {
        heard = left_far.next() => heard,
        () = writer => unreachable!(),
        outcome = pumped => panic!("{outcome:?}"),
    };
    let Event::Fragment(fragment) = heard else {
        panic!("{heard:?}")
    };
    assert_eq!(fragment.payload, b"xxxxxxxxxx"[..]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_after_the_drain_time_at_the_latest() {
    for (left, right) in [
        (Socket, Bytes),
        (Socket, Socket),
        (Local, Socket),
        (Bytes, Bytes),
    ] {
        let idle = || steps("D3600000");
        let options = Options::default();
        let play = play_both((left, idle()), (right, idle()), &options, Some(0));
        let played = tokio::time::timeout(Duration::from_secs(7200), play)
            .await
            .unwrap();
        assert!(
            played.took <= Duration::from_secs(8),
            "{left:?} {right:?} took {:?}",
            played.took
        );
    }
}

/// Every way in which a peer of a shape can end by itself.
fn endings(shape: Shape) -> Vec<Ending> {
    let mut endings = vec![Ending::Lost(Loss::Reset)];
    match shape {
        Socket => {
            endings.extend([1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4000, 4999].map(close));
            endings.push(Ending::Close(Close::empty()));
            endings.push(Ending::Lost(Loss::NoClose));
            endings.push(Ending::Lost(Loss::Silent));
            for code in [1002, 1003, 1007, 1008, 1009] {
                endings.push(Ending::Broken(Violation { code, reason: "x" }));
            }
        }
        Bytes | Local | Datagrams => {
            endings.push(Ending::Eof);
            endings.push(Ending::NotText { offset: 7 });
            endings.push(Ending::Unreachable(Cause::Refused));
        }
    }
    endings
}

/// Every ending, on every side, of every shape, at every point: what was sent before is delivered, the other side is
/// told just that ending, an abort is told as one, and the exit status is that of the table.
#[tokio::test(start_paused = true)]
async fn every_ending_on_every_side_at_every_point_ends_as_the_table_says() {
    let mut cases = 0;
    for (shape, other) in [
        (Socket, Bytes),
        (Socket, Socket),
        (Bytes, Socket),
        (Bytes, Bytes),
        (Local, Socket),
        (Socket, Local),
    ] {
        for ending in endings(shape) {
            for before in 0..3 {
                for is_left in [true, false] {
                    case(shape, other, &ending, before, is_left).await;
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 400, "only {cases} cases");
}

async fn case(shape: Shape, other: Shape, ending: &Ending, before: usize, is_left: bool) {
    let what = format!(
        "{shape:?} ends with {ending:?} after {before} messages to {other:?}, left: {is_left}"
    );
    let mut ending_side: Vec<Step> = (0..before)
        .map(|n| Step::Read(format!("message {n}")))
        .collect();
    ending_side.push(Step::End(ending.clone()));
    let mut other_side: Vec<Step> = (0..before)
        .map(|n| Step::Written(format!("message {n}")))
        .collect();
    // The other side is a good peer: told of the end, it ends too.
    other_side.push(Step::Told);
    other_side.push(Step::End(if other == Socket {
        close(1000)
    } else {
        Ending::Eof
    }));
    let (one, two) = ((shape, ending_side), (other, other_side));
    let (left, right) = if is_left { (one, two) } else { (two, one) };
    let options = Options {
        linger: Some(Duration::from_secs(1)),
        ..Options::default()
    };
    let play = play_both(left, right, &options, None);
    let played = tokio::time::timeout(Duration::from_secs(3600), play).await;
    let played = played.unwrap_or_else(|_| panic!("hangs: {what}"));
    let (said, told, counts) = if is_left {
        (
            &played.outcome.left,
            played.right_told,
            played.outcome.left_to_right,
        )
    } else {
        (
            &played.outcome.right,
            played.left_told,
            played.outcome.right_to_left,
        )
    };
    assert_eq!(said, ending, "{what}");
    // The end of a caller's input is told when no answer has come.
    let is_callers = is_left || shape == Local;
    let is_waited = is_callers && other == Socket && *ending == Ending::Eof;
    let expired = Ending::LingerExpired(Duration::from_secs(1));
    let expected = if is_waited { &expired } else { ending };
    assert_eq!(told.as_ref(), Some(expected), "{what}");
    assert_eq!(counts.messages, before as u64, "{what}");
    assert_eq!(played.outcome.exit_status(), ending.exit_status(), "{what}");
    assert!(
        played.took <= Duration::from_secs(1),
        "{what} took {:?}",
        played.took
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any fragments in both directions at once come out equal and in order, whatever is slow.
    #[test]
    fn fragments_cross_equal_and_in_order(
        forth in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..5000)), 0..40),
        back in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..2000)), 0..40),
        shapes in prop::sample::select(vec![(Socket, Bytes), (Socket, Socket), (Bytes, Bytes)]),
    ) {
        let fragments = |list: Vec<(bool, bool, Vec<u8>)>| -> Vec<Fragment> {
            let fragment = |(is_text, fin, bytes): (bool, bool, Vec<u8>)| Fragment {
                kind: if is_text { Kind::Text } else { Kind::Binary },
                fin,
                payload: bytes[..].into(),
            };
            let mut fragments: Vec<_> = list.into_iter().map(fragment).collect();
            // An end within a message is a cut, of which the other direction would hear.
            if let Some(last) = fragments.last_mut() {
                last.fin = true;
            }
            fragments
        };
        let (forth, back) = (fragments(forth), fragments(back));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (left_near, left_far) = pipe();
            let (right_near, right_far) = pipe();
            let left_task = tokio::spawn(exchange(left_far, forth.clone(), shapes.0));
            let right_task = tokio::spawn(exchange(right_far, back.clone(), shapes.1));
            let outcome = pump(
                Scripted::opened(left_near, shapes.0),
                Scripted::opened(right_near, shapes.1),
                &Options { linger: Some(Duration::from_secs(3600)), close_timeout: Duration::from_secs(3600), ..Options::default() },
                std::future::pending(),
            ).await;
            assert_eq!(outcome.exit_status(), 0);
            assert_eq!(right_task.await.unwrap(), forth);
            assert_eq!(left_task.await.unwrap(), back);
        });
    }
}

fn batch(messages: &[Fragment]) -> Batch {
    let (mut bytes, mut spans) = (bytes::BytesMut::new(), Vec::new());
    for message in messages {
        let begin = u32::try_from(bytes.len()).unwrap();
        bytes.extend_from_slice(&message.payload);
        spans.push((begin, u32::try_from(bytes.len()).unwrap()));
    }
    Batch::new(messages[0].kind, bytes, spans)
}

/// No more than was asked for is copied, though more came at once.
#[tokio::test(start_paused = true)]
async fn a_batch_is_cut_where_enough_was_copied() {
    let (left_near, mut left_far) = pipe();
    let (right_near, right_far) = pipe();
    let all: Vec<_> = ["a", "b", "c", "d"].map(Fragment::text).into();
    left_far.start_send(all[0].clone().into()).unwrap();
    left_far.start_send(batch(&all[1..]).into()).unwrap();
    let right = tokio::spawn(exchange(right_far, Vec::new(), Bytes));
    let left = tokio::spawn(exchange(left_far, Vec::new(), Bytes));
    let options = Options {
        left_to_right: Copied::Messages(3),
        ..Options::default()
    };
    let (left_near, right_near) = (
        Scripted::opened(left_near, Bytes),
        Scripted::opened(right_near, Bytes),
    );
    let outcome = pump(left_near, right_near, &options, std::future::pending()).await;
    left.await.unwrap();
    assert_eq!(right.await.unwrap(), all[..3]);
    let counts = Counts {
        messages: 3,
        bytes: 3,
    };
    assert_eq!(outcome.left_to_right, counts);
}

/// Sends all of it and then ends, while it takes what comes up to the end.
async fn exchange(mut far: Pipe, fragments: Vec<Fragment>, shape: Shape) -> Vec<Fragment> {
    let mut waiting: std::collections::VecDeque<_> = fragments.into();
    let mut got = Vec::new();
    let (mut has_ended, mut is_told, mut is_whole) = (false, false, true);
    let end = if shape == Socket {
        close(1000)
    } else {
        Ending::Eof
    };
    poll_fn(|cx| {
        while !waiting.is_empty() && far.poll_ready(cx).is_ready() {
            let mut fragments: Vec<_> = waiting.drain(..1).collect();
            // Whole messages of one kind go as a batch, where no fragment before them waits for its last.
            while is_whole
                && fragments[0].fin
                && waiting
                    .front()
                    .is_some_and(|next| next.fin && next.kind == fragments[0].kind)
            {
                fragments.extend(waiting.pop_front());
            }
            is_whole = fragments[0].fin;
            let sent = match &fragments[..] {
                [one] => far.start_send(one.clone().into()),
                many => far.start_send(batch(many).into()),
            };
            if sent.is_err() {
                waiting.clear();
            }
        }
        if waiting.is_empty() && !has_ended {
            has_ended = far.poll_close(cx, &end).is_ready();
        }
        while !is_told {
            match far.poll_next(cx) {
                Poll::Ready(Event::Fragment(fragment)) => got.push(fragment),
                Poll::Ready(Event::Batch(batch)) => got.extend(batch.fragments()),
                Poll::Ready(Event::Gap(gap)) => panic!("{gap}"),
                Poll::Ready(Event::End(_)) => is_told = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        if has_ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    got
}

#[tokio::test(start_paused = true)]
async fn a_silent_side_is_left_after_the_linger_time_and_never_called_cut() {
    let options = Options {
        close_timeout: Duration::from_millis(500),
        ..Options::default()
    };
    let played = scripts((Socket, "C1000|T"), (Bytes, "T|D60000"), &options).await;
    let linger = Duration::from_secs(2);
    assert_eq!(played.outcome.right, Ending::LingerExpired(linger));
    assert_eq!(
        (played.took.as_millis(), played.outcome.exit_status()),
        (2000, 0)
    );
}

/// A Close asks for no more, and yet what keeps coming is no reason to cut it.
#[tokio::test(start_paused = true)]
async fn a_side_that_still_sends_after_a_close_is_heard_to_its_end() {
    let sends: String = (0..30).map(|n| format!("D1000|R {n}|")).collect();
    let right = format!("T|{sends}E");
    let played = scripts((Socket, "C1000"), (Bytes, &right), &Options::default()).await;
    assert_eq!(played.outcome.right, Ending::Eof);
    assert_eq!(played.left_extra.len(), 30);
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (30, 0)
    );
}

/// Sockets and files wait longer than stdin: a server may think. What comes renews it.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_callers_input_waits_for_answers_and_that_of_a_target_does_not() {
    for (left, right, took) in [
        ("R ask|E|T", "W ask|T|C1000", 10_000),
        ("R ask|E|W late|T", "W ask|D9900|R late|T|C1000", 11_900),
        (
            "R ask|E|W a|W b|T",
            "W ask|D9900|R a|D1900|R b|T|C1000",
            13_800,
        ),
        ("R ask|E|W end|T", "W ask|D500|R end|C1000|T", 500),
    ] {
        let played = scripts((Bytes, left), (Socket, right), &Options::default()).await;
        assert_eq!(
            (played.took.as_millis(), played.outcome.exit_status()),
            (took, 0),
            "{right}"
        );
    }
    let right = (Bytes, "W ask|E|T");
    let played = scripts((Socket, "R ask|T|C1000"), right, &Options::default()).await;
    assert_eq!(played.took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_counted_answer_is_waited_for_as_long_as_it_takes() {
    let counted = |linger| Options {
        linger,
        left_to_right: Copied::Messages(2),
        right_to_left: Copied::Messages(2),
        ..Options::default()
    };
    let options = counted(None);
    let right = "W a|W b|D1000000|R x|D1000000|R y|T|C1000";
    let played = scripts((Local, "R a|R b|R c|W x|W y"), (Socket, right), &options).await;
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (2000, 0)
    );
    // So many came, and the input has ended with fewer.
    let right = (Socket, "W a|D60000|R x|R y|T|C1000");
    let played = scripts((Local, "R a|E|W x|W y"), right, &options).await;
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (60, 0)
    );
    // Fewer came.
    let right = (Socket, "W a|W b|R x|C1000|T");
    let played = scripts((Local, "R a|R b|W x"), right, &options).await;
    assert_eq!(played.outcome.fewer, Some((1, 2)));
    assert_eq!(played.outcome.exit_status(), 28);
    let options = counted(Some(Duration::from_secs(5)));
    let right = (Socket, "W a|W b|R x|T|C1000");
    let played = scripts((Local, "R a|R b|W x"), right, &options).await;
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (5, 28)
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_within_a_second_of_its_longest_time() {
    let options = Options {
        max_time: Some(Duration::from_secs(5)),
        ..Options::default()
    };
    // It does not answer our Close.
    let played = scripts((Socket, "R a|D60000"), (Bytes, "W a|T"), &options).await;
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (6, 28)
    );
}

/// A session that only waits for answers ends when a new caller needs its permit.
#[tokio::test(start_paused = true)]
async fn a_lingering_session_gives_up_its_permit() {
    let permits = Arc::new(tokio::sync::Semaphore::new(1));
    let lingering = Arc::<lingering::Lingering>::default();
    let held = lingering.hold(permits.try_acquire_owned().unwrap());
    let options = Options {
        keeps_open: true,
        permit: Some(held.permit().clone()),
        ..Options::default()
    };
    let needed = async {
        let mut taken = None;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            taken = lingering.take_quietest();
            if taken.is_some() {
                break;
            }
        }
        taken
    };
    // It does not linger while its input is open.
    let left = (Bytes, "R ask|D4000|E|T");
    let played = scripts(left, (Socket, "W ask|T|C1000"), &options);
    let (played, taken) = tokio::join!(played, needed);
    assert!(taken.is_some());
    assert_eq!(
        (played.took.as_secs(), played.outcome.exit_status()),
        (6, 0)
    );
    let waited = Ending::LingerExpired(Duration::from_secs(2));
    assert_eq!(played.right_told, Some(waited));
}

/// A session whose caller had its answer before it ended makes room for one that waits; one that still asks does not.
#[tokio::test(start_paused = true)]
async fn only_an_answered_session_ends_for_a_caller_that_waits() {
    let cases = [
        ("R ask|W answer|D2000|E|T", "W ask|R answer|T|C1000", 3),
        // A greeting is all that was to be heard.
        ("W hello|D2000|E|T", "R hello|T|C1000", 3),
        // Asked again after the answer, or not answered yet: 10 s.
        (
            "R ask|W answer|D1000|R more|D1000|E|T",
            "W ask|R answer|W more|T|C1000",
            12,
        ),
        ("R ask|D2000|E|T", "W ask|T|C1000", 12),
        // It comes after the end: 2 s after it.
        ("R ask|E|W answer|T", "W ask|D2500|R answer|T|C1000", 4),
    ];
    for (left, right, took) in cases {
        let permits = Arc::new(tokio::sync::Semaphore::new(1));
        let lingering = Arc::<lingering::Lingering>::default();
        let held = lingering.hold(permits.try_acquire_owned().unwrap());
        let options = Options {
            permit: Some(held.permit().clone()),
            ..Options::default()
        };
        let waits = async {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                lingering.end_answered();
            }
        };
        tokio::select! {
            played = scripts((Bytes, left), (Socket, right), &options) => {
                assert_eq!(played.took.as_secs(), took, "{left} {right}");
            }
            () = waits => {}
        }
    }
}
