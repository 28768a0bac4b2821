//! Connections that are lost and made again, between in-memory peers on paused time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Context, Poll};

use anyhow::anyhow;
use tokio::time::{Instant, timeout};

use super::*;
use crate::ending::{Close, Loss, Violation};
use crate::endpoint::Agreement;
use crate::memory::Memory;
use crate::message::Fragment;
use crate::peer::{
    Event, Gap, MessageStream, MessageStreamExt, Notice, Pipe, Spent, StreamFacts, Tally, pipe,
};

type Boxed = Box<dyn MessageStream>;

/// An endpoint that opens what it was given, in order, and notes when.
#[derive(Default)]
struct Prepared {
    next: Mutex<VecDeque<Result<Boxed>>>,
    at: Mutex<Vec<Instant>>,
}

impl Prepared {
    fn of<S: MessageStream + 'static>(next: Vec<Result<S>>) -> Arc<Prepared> {
        Arc::new(Prepared {
            next: Mutex::new(next.into_iter().map(boxed).collect()),
            ..Prepared::default()
        })
    }
}

impl Dial for Prepared {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        self.at.lock().unwrap().push(Instant::now());
        let next = self.next.lock().unwrap().pop_front();
        Box::pin(async {
            let stream = next.unwrap_or_else(|| boxed(refused()))?;
            let facts = StreamFacts {
                can_half_close: true,
                ..StreamFacts::default()
            };
            Ok(Opened::messages(stream, facts))
        })
    }
}

fn boxed<S: MessageStream + 'static>(opened: Result<S>) -> Result<Boxed> {
    opened.map(|stream| -> Boxed { Box::new(stream) })
}

fn refused() -> Result<Pipe> {
    Err(anyhow!(Cause::Refused).context("connecting to x: connection refused"))
}

fn answered(status: u16) -> Result<Pipe> {
    Err(anyhow!(Cause::HttpStatus(status)))
}

async fn dial(prepared: &Arc<Prepared>, retries: Option<u32>, is_local: bool) -> Result<Opened> {
    let limits = Limits {
        retries,
        reconnect_max: Duration::from_secs(60),
    };
    let outlet = Outlet::new(prepared.clone(), Facts::default());
    let Endpoint::Dial(outlet) = over(outlet, "x".to_owned(), limits, &Memory::default()) else {
        unreachable!()
    };
    let caller = Caller {
        is_local,
        ..Caller::new("left")
    };
    outlet.dial.dial(&caller).await
}

/// A link over these connections, the first of which is open.
async fn link(prepared: &Arc<Prepared>, retries: Option<u32>) -> Box<dyn MessageStream> {
    let opened = dial(prepared, retries, true).await.unwrap();
    opened.into_messages(&Memory::default()).stream
}

async fn next(stream: &mut (impl MessageStream + ?Sized)) -> Event {
    loop {
        match event(stream).await {
            Event::Gap(_) => {}
            other => return other,
        }
    }
}

/// The next one, gaps included.
async fn event(stream: &mut (impl MessageStream + ?Sized)) -> Event {
    stream.next().await
}

async fn send(stream: &mut (impl MessageStream + ?Sized), fragment: Fragment) {
    poll_fn(|cx| stream.poll_ready(cx)).await.unwrap();
    stream.start_send(fragment.into()).unwrap();
}

async fn close(stream: &mut Pipe, why: Ending) {
    poll_fn(|cx| stream.poll_close(cx, &why)).await.unwrap();
}

fn piece(text: &str) -> Fragment {
    Fragment {
        fin: false,
        ..Fragment::text(text)
    }
}

fn text(text: &str) -> Event {
    Event::Fragment(Fragment::text(text))
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_one_stream_over_all_connections() {
    let ((one, mut far_one), (two, mut far_two)) = (pipe(), pipe());
    let prepared = Prepared::of(vec![Ok(one), refused(), refused(), Ok(two)]);
    let mut link = link(&prepared, None).await;
    send(&mut far_one, Fragment::text("1")).await;
    drop(far_one);
    send(&mut far_two, Fragment::text("2")).await;
    close(&mut far_two, Ending::Close(Close::new(1000, ""))).await;
    assert_eq!(event(&mut *link).await, text("1"));
    let gap = Gap {
        times: 1,
        ..Gap::default()
    };
    assert_eq!(event(&mut *link).await, Event::Gap(gap));
    assert_eq!(event(&mut *link).await, text("2"));
    let end = Event::End(Ending::Close(Close::new(1000, "")));
    assert_eq!(next(&mut *link).await, end);
    let at = prepared.at.lock().unwrap();
    for (pair, most) in at.windows(2).zip([1, 2, 4]) {
        assert!(pair[1] - pair[0] <= Duration::from_secs(most));
    }
    assert_eq!((at.len(), link.tally().gap.times), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn which_ends_allow_another_connection() {
    let close = |code| Ending::Close(Close::new(code, ""));
    for (why, is_retried) in [
        (Ending::Lost(Loss::Reset), true),
        (Ending::Lost(Loss::Silent), true),
        (Ending::Eof, true),
        (close(1001), true),
        (close(1011), true),
        (close(1012), true),
        (close(1013), true),
        (close(4000), true),
        (close(1000), false),
        (close(1002), false),
        (close(1003), false),
        (close(1007), false),
        (close(1008), false),
        (close(1009), false),
        (close(1010), false),
        (Ending::Close(Close::empty()), false),
        (
            Ending::Broken(Violation {
                code: 1002,
                reason: "x",
            }),
            false,
        ),
        (Ending::NotText { offset: 0 }, false),
    ] {
        let ((one, mut far), (two, mut far_two)) = (pipe(), pipe());
        let prepared = Prepared::of(vec![Ok(one), Ok(two)]);
        let mut link = link(&prepared, None).await;
        poll_fn(|cx| far.poll_close(cx, &why)).await.unwrap();
        send(&mut far_two, Fragment::text("again")).await;
        let expected = if is_retried {
            text("again")
        } else {
            Event::End(why)
        };
        assert_eq!(next(&mut *link).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_for_good_is_left_alone() {
    for (status, tries) in [
        (403, 1),
        (404, 1),
        (301, 1),
        (200, 1),
        (408, 3),
        (429, 3),
        (503, 3),
    ] {
        let prepared = Prepared::of(vec![answered(status), answered(status), answered(status)]);
        let error = dial(&prepared, Some(2), true).await.err().unwrap();
        assert_eq!(Cause::of(&error), Some(Cause::HttpStatus(status)));
        assert_eq!(prepared.at.lock().unwrap().len(), tries, "{status}");
    }
    // One who waits for an answer gets it at once.
    let prepared = Prepared::of::<Pipe>(vec![]);
    assert!(dial(&prepared, None, false).await.is_err());
    assert_eq!(prepared.at.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_left_alone_for_as_long_as_it_asks() {
    let (one, _far) = pipe();
    let asked = Duration::from_secs(100);
    let busy = answered(503).map_err(|error| error.context(RetryAfter(asked)));
    let prepared = Prepared::of(vec![busy, Ok(one)]);
    dial(&prepared, None, true).await.unwrap();
    let at = prepared.at.lock().unwrap();
    assert!((asked..asked + Duration::from_secs(1)).contains(&(at[1] - at[0])));
}

#[tokio::test(start_paused = true)]
async fn used_up_retries_end_with_the_last_failure() {
    let (one, far) = pipe();
    let late = Err(anyhow!(Cause::Timeout));
    let prepared = Prepared::of(vec![Ok(one), refused(), late]);
    let mut link = link(&prepared, Some(2)).await;
    drop(far);
    let end = Ending::Unreachable(Cause::Timeout);
    assert_eq!(next(&mut *link).await, Event::End(end.clone()));
    assert_eq!(next(&mut *link).await, Event::End(end.clone()));
    assert_eq!(end.exit_status(), 28);
    assert_eq!(poll_fn(|cx| link.poll_ready(cx)).await, Err(end));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lasted_begins_a_new_row() {
    let pipes: Vec<_> = (0..5).map(|_| pipe()).collect();
    let (near, far): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
    let prepared = Prepared::of(near.into_iter().map(Ok).collect());
    let mut link = link(&prepared, Some(1)).await;
    for mut far in far {
        send(&mut far, Fragment::text("here")).await;
        assert_eq!(next(&mut *link).await, text("here"));
        tokio::time::advance(Duration::from_secs(30)).await;
    }
    assert_eq!(
        next(&mut *link).await,
        Event::End(Ending::Unreachable(Cause::Refused))
    );
}

#[tokio::test(start_paused = true)]
async fn one_message_is_held_while_there_is_no_connection_and_no_more() {
    let ((one, far), (two, mut far_two)) = (pipe(), pipe());
    let prepared = Prepared::of(vec![Ok(one), Ok(two)]);
    let mut link = link(&prepared, None).await;
    link.notify(Notice::Greeting(vec![Fragment::text("hello")]));
    drop(far);
    poll_fn(|cx| {
        assert!(link.poll_more(cx).is_ready());
        assert_eq!(link.take(), None);
        assert!(link.poll_ready(cx).is_ready());
        link.start_send(Fragment::text("held").into()).unwrap();
        assert!(link.poll_ready(cx).is_pending());
        assert!(link.poll_flush(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    send(&mut *link, Fragment::text("next")).await;
    for expected in ["hello", "held", "next"] {
        assert_eq!(next(&mut far_two).await, text(expected));
    }
    assert_eq!((link.tally().gap.messages, link.tally().gap.times), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_lost_is_counted_and_no_message_is_sent_over_two_connections() {
    let ((one, mut far), (two, mut far_two)) = (pipe(), pipe());
    let prepared = Prepared::of(vec![Ok(one), Ok(two)]);
    let mut link = link(&prepared, None).await;
    send(&mut *link, Fragment::text("whole")).await;
    send(&mut *link, piece("begin,")).await;
    assert_eq!(next(&mut far).await, text("whole"));
    // The whole one has left us, as far as a stream that can not be asked can tell; of the other both parts are lost.
    drop(far);
    assert_eq!(link.take(), None);
    send(&mut *link, Fragment::text("end")).await;
    send(&mut *link, Fragment::text("another")).await;
    let (flushed, came) = tokio::join!(poll_fn(|cx| link.poll_flush(cx)), next(&mut far_two));
    assert_eq!((flushed, came), (Ok(()), text("another")));
    let gap = Gap {
        times: 1,
        messages: 1,
        bytes: 9,
    };
    assert_eq!(link.tally().gap, gap);
    // What it yields says only what was known when the connection was made: the rest of the message came later.
    assert_eq!(event(&mut *link).await, Event::Gap(Gap { bytes: 6, ..gap }));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_came_in_part_is_not_passed_on() {
    let ((one, mut far), (two, mut far_two)) = (pipe(), pipe());
    let prepared = Prepared::of(vec![Ok(one), Ok(two)]);
    let mut link = link(&prepared, None).await;
    send(&mut far, piece("never")).await;
    send(&mut far_two, Fragment::text("whole")).await;
    drop(far);
    assert_eq!(next(&mut *link).await, text("whole"));
}

#[tokio::test(start_paused = true)]
async fn a_long_message_that_is_cut_ends_the_session() {
    let (one, mut far) = pipe();
    let prepared = Prepared::of(vec![Ok(one)]);
    let mut link = link(&prepared, None).await;
    let half = "x".repeat(150_000);
    for _ in 0..7 {
        send(&mut far, piece(&half)).await;
        tokio::select! {
            biased;
            Event::Fragment(long) = next(&mut *link) => assert!(!long.fin && long.payload.len() > 1 << 20),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(far);
    assert_eq!(
        next(&mut *link).await,
        Event::End(Ending::Lost(Loss::NoClose))
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_of_ours_ends_the_wait() {
    let (one, far) = pipe();
    let prepared = Prepared::of(vec![Ok(one)]);
    let mut link = link(&prepared, None).await;
    drop(far);
    assert_eq!(link.take(), None);
    let begun = Instant::now();
    poll_fn(|cx| link.poll_close(cx, &Ending::Eof))
        .await
        .unwrap();
    // The connection was lost all the same.
    let end = Event::End(Ending::Lost(Loss::NoClose));
    assert_eq!(next(&mut *link).await, end);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_link_has_the_facts_of_its_connection_but_carries_no_half_close() {
    let opened = Opened::from(pipe().0);
    assert!(opened.facts.can_half_close);
    let prepared = Prepared::of(vec![Ok(pipe().0)]);
    let link = dial(&prepared, None, true).await.unwrap();
    assert!(!link.facts.can_half_close, "an end of input is told once");
    let outlet = Outlet::new(
        prepared,
        Facts {
            kill_after: Some(Duration::from_secs(3)),
            descriptors: 7,
            host: Some("x".to_owned()),
            agreement: Agreement::Opening,
            ..Facts::default()
        },
    );
    let limits = Limits {
        retries: None,
        reconnect_max: Duration::from_secs(60),
    };
    let endpoint = over(outlet, "x".to_owned(), limits, &Memory::default());
    let facts = endpoint.facts();
    assert_eq!((facts.kill_after.is_some(), facts.descriptors), (true, 7));
    assert_eq!((&facts.host, facts.again.is_some()), (&None, true));
    assert_eq!(facts.agreement, Agreement::Opening);
}

/// A stream that has nothing to say in time, and answers what it is asked.
struct Asked {
    pipe: Pipe,
    cut: Arc<Mutex<Option<Ending>>>,
}

impl MessageStream for Asked {
    fn take(&mut self) -> Option<Event> {
        self.pipe.take()
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pipe.poll_more(cx)
    }

    fn spent(&mut self) -> Spent {
        self.pipe.spent()
    }

    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        let cut = self.cut.lock().unwrap().clone();
        cut.map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.pipe.poll_gone(cx)
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Ready(Ending::Lost(Loss::Reset))
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

    fn notify(&mut self, notice: Notice) {
        self.pipe.notify(notice);
    }

    fn unsent(&self) -> usize {
        self.pipe.unsent()
    }

    fn is_closed(&self) -> bool {
        true
    }

    fn tally(&self) -> Tally {
        Tally {
            has_piece: true,
            ..self.pipe.tally()
        }
    }
}

async fn cut(link: &mut dyn MessageStream) -> Poll<Ending> {
    poll_fn(|cx| Poll::Ready(link.poll_cut(cx))).await
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_is_lost_at_once_or_ended() {
    let ((one, _far), (two, mut far_two)) = (pipe(), pipe());
    let cuts = [one, two].map(|pipe| {
        let cut = Arc::new(Mutex::new(None));
        let stream = Asked {
            pipe,
            cut: cut.clone(),
        };
        (stream, cut)
    });
    let [(one, cut_one), (two, cut_two)] = cuts;
    let prepared = Prepared::of(vec![Ok(one), Ok(two)]);
    let mut link = link(&prepared, None).await;
    assert_eq!(cut(&mut *link).await, Poll::Pending);
    // Another connection may follow.
    *cut_one.lock().unwrap() = Some(Ending::Close(Close::new(1013, "slow")));
    assert_eq!(cut(&mut *link).await, Poll::Pending);
    send(&mut far_two, Fragment::text("again")).await;
    let again = timeout(Duration::from_secs(60), next(&mut *link)).await;
    assert_eq!(again, Ok(text("again")));
    assert_eq!(link.tally().gap.times, 1);
    // No other one mends this.
    let why = Ending::Close(Close::new(1009, "too big"));
    *cut_two.lock().unwrap() = Some(why.clone());
    assert_eq!(cut(&mut *link).await, Poll::Ready(why));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_connection_is_answered_by_it() {
    let (one, _far) = pipe();
    let one = Asked {
        pipe: one,
        cut: Arc::default(),
    };
    let prepared = Prepared::of(vec![Ok(one)]);
    let mut link = link(&prepared, None).await;
    assert!(link.is_closed() && link.tally().has_piece);
    let reset = poll_fn(|cx| link.poll_reset(cx)).await;
    assert_eq!(reset, Ending::Lost(Loss::Reset));
}
