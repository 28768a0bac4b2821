//! Sources whose sinks take nothing, on paused time.

use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};

use super::*;
use crate::ending::{Close, Loss};
use crate::message::Fragment;
use crate::peer::{
    MessageStream, MessageStreamExt, Messages, Notice, Pipe, Spent, StreamFacts, Tally, pipe,
};
use crate::pump::ahead::AHEAD;
use crate::pump::budget::BYTES_A_POLL;
use crate::pump::{Outcome, pump};

const PIECE: usize = 64 * 1024;

/// The pump's end of a peer.
struct Scripted {
    pipe: Pipe,
    /// How it shows that it has gone, if it does.
    gone: Option<Ending>,
    half_closes: bool,
}

impl MessageStream for Scripted {
    fn take(&mut self) -> Option<Event> {
        self.pipe.take()
    }
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pipe.poll_more(cx)
    }
    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        match &self.gone {
            Some(ending) => Poll::Ready(ending.clone()),
            None => Poll::Pending,
        }
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
        0
    }
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.pipe.poll_cut(cx)
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
            half_closes: self.half_closes,
            can_go: true,
            ..self.pipe.tally()
        }
    }
}

/// A session whose target takes nothing, and what its caller does.
struct Blocked {
    /// Bytes that the caller sends before its end.
    sends: usize,
    end: Option<Ending>,
    /// How it shows that it has gone.
    gone: Option<Ending>,
    /// The target takes a piece each so often.
    takes_each: Option<Duration>,
    is_local: bool,
    options: Options,
}

impl Default for Blocked {
    fn default() -> Blocked {
        Blocked {
            sends: 1024 * 1024,
            end: None,
            gone: None,
            takes_each: None,
            is_local: false,
            options: Options::default(),
        }
    }
}

/// How it went, as long as it is looked at.
struct Seen {
    /// `None` where it went on.
    outcome: Option<Outcome>,
    seconds: u64,
    /// Bytes that the caller got rid of.
    sent: usize,
    /// How the caller was told.
    told: Option<Ending>,
}

impl Blocked {
    async fn run(self, limit: Duration) -> Seen {
        let (left, mut caller) = pipe();
        let (right, mut target) = pipe();
        let side = |pipe, gone, is_local, half_closes| {
            let stream = Box::new(Scripted {
                pipe,
                gone,
                half_closes,
            });
            let facts = StreamFacts {
                is_local,
                ..StreamFacts::default()
            };
            Messages { stream, facts }
        };
        let half_closes = !matches!(self.end, Some(Ending::Close(_)));
        let left = side(left, self.gone, false, half_closes);
        let right = side(right, None, self.is_local, true);
        let (sent, told) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(None)));
        let (counted, noted) = (sent.clone(), told.clone());
        tokio::spawn(async move {
            let mut left = self.sends;
            while left > 0 && poll_fn(|cx| caller.poll_ready(cx)).await.is_ok() {
                let piece = left.min(PIECE);
                caller
                    .start_send(Fragment::binary(vec![7; piece]).into())
                    .unwrap();
                left -= piece;
                *counted.lock().unwrap() += piece;
            }
            if let Some(end) = self.end {
                let _ = poll_fn(|cx| caller.poll_close(cx, &end)).await;
            }
            if let Event::End(ending) = caller.next().await {
                *noted.lock().unwrap() = Some(ending);
            }
            pending::<()>().await;
        });
        tokio::spawn(async move {
            while let Some(pause) = self.takes_each {
                tokio::time::sleep(pause).await;
                if target
                    .take()
                    .is_none_or(|event| matches!(event, Event::End(_)))
                {
                    break;
                }
            }
            if self.takes_each.is_some() {
                let _ = poll_fn(|cx| target.poll_close(cx, &Ending::Eof)).await;
            }
            pending::<()>().await;
        });
        let begun = Instant::now();
        let pumped = pump(left, right, &self.options, pending());
        let outcome = tokio::time::timeout(limit, pumped).await.ok();
        let seconds = begun.elapsed().as_secs();
        // What it was told is read by its own task.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let sent = *sent.lock().unwrap();
        let told = told.lock().unwrap().clone();
        Seen {
            outcome,
            seconds,
            sent,
            told,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn close(code: u16) -> Ending {
    Ending::Close(Close::new(code, ""))
}

#[track_caller]
fn cut(seen: Seen, deadline: Deadline, seconds: std::ops::RangeInclusive<u64>) -> Outcome {
    let outcome = seen.outcome.expect("it goes on");
    assert_eq!(outcome.right, Ending::Deadline(deadline));
    assert_eq!(outcome.exit_status(), 28);
    assert!(seconds.contains(&seen.seconds), "{} s", seen.seconds);
    outcome
}

#[tokio::test(start_paused = true)]
async fn the_target_of_a_caller_that_was_lost_has_the_close_timeout() {
    for loss in [Loss::Reset, Loss::NoClose] {
        let end = Some(Ending::Lost(loss));
        let blocked = Blocked {
            end: end.clone(),
            ..Blocked::default()
        };
        let outcome = cut(blocked.run(HOUR).await, Deadline::Stall, 12..=13);
        assert_eq!(Some(outcome.left), end);
    }
}

#[tokio::test(start_paused = true)]
async fn the_target_of_a_caller_that_closed_has_the_deliver_timeout() {
    let blocked = Blocked {
        end: Some(close(1000)),
        ..Blocked::default()
    };
    let seen = blocked.run(HOUR).await;
    let told = seen.told.clone();
    let outcome = cut(seen, Deadline::Deliver, 302..=303);
    assert_eq!(outcome.left, close(1000));
    assert_eq!(told, Some(Ending::Deadline(Deadline::Deliver)));
    let blocked = Blocked {
        end: Some(close(1000)),
        options: Options {
            deliver_timeout: None,
            ..Options::default()
        },
        ..Blocked::default()
    };
    assert_eq!(blocked.run(100 * HOUR).await.outcome, None);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_half_closed_has_not_gone() {
    let blocked = Blocked {
        end: Some(Ending::Eof),
        ..Blocked::default()
    };
    assert_eq!(blocked.run(HOUR).await.outcome, None);
    // Unless it shows.
    let blocked = Blocked {
        end: Some(Ending::Eof),
        gone: Some(Ending::Lost(Loss::Reset)),
        ..Blocked::default()
    };
    cut(blocked.run(HOUR).await, Deadline::Stall, 12..=13);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_read_on_by_four_mib_and_then_watched_alone() {
    let endless = |gone| Blocked {
        sends: usize::MAX,
        gone,
        ..Blocked::default()
    };
    let seen = endless(None).run(HOUR).await;
    assert_eq!(seen.outcome, None);
    // What its own pipe and that of the target hold comes on top.
    let most = AHEAD + 3 * crate::buffer::LARGE;
    let sent = seen.sent;
    assert!((AHEAD - BYTES_A_POLL..=most).contains(&sent), "{sent}");
    let seen = endless(Some(Ending::Lost(Loss::Silent))).run(HOUR).await;
    cut(seen, Deadline::Stall, 12..=13);
    let seen = endless(Some(Ending::Eof)).run(HOUR).await;
    cut(seen, Deadline::Deliver, 302..=303);
}

#[tokio::test(start_paused = true)]
async fn our_own_output_may_stand_still_as_long_as_it_likes() {
    for end in [close(1000), Ending::Lost(Loss::Reset)] {
        let blocked = Blocked {
            end: Some(end),
            is_local: true,
            options: Options {
                stall: Some(Duration::from_secs(1)),
                ..Options::default()
            },
            ..Blocked::default()
        };
        assert_eq!(blocked.run(HOUR).await.outcome, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_moves_is_never_cut_and_comes_whole_before_the_end() {
    let sends = 40 * PIECE;
    for end in [close(1000), Ending::Lost(Loss::Reset)] {
        let blocked = Blocked {
            sends,
            end: Some(end.clone()),
            takes_each: Some(Duration::from_secs(2)),
            ..Blocked::default()
        };
        let seen = blocked.run(HOUR).await;
        let outcome = seen.outcome.expect("it goes on");
        assert_eq!(outcome.left, end);
        assert_eq!(outcome.left_to_right.bytes, sends as u64);
        assert!(seen.seconds >= 60, "{}", seen.seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_takes_nothing_of_a_caller_that_is_there_has_the_time_of_stall() {
    let stall = |stall| Blocked {
        options: Options {
            stall,
            ..Options::default()
        },
        ..Blocked::default()
    };
    assert_eq!(stall(None).run(HOUR).await.outcome, None);
    let seen = stall(Some(Duration::from_secs(60))).run(HOUR).await;
    cut(seen, Deadline::Unread, 60..=61);
}
