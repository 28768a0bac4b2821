//! `each:ENDPOINT`: opened anew for each message, which is all that it hears; what it says is the answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use anyhow::Result;
use clap::Args;
use tracing::warn;

use super::{Agreement, BoxFuture, Dial, Endpoint, Facts, Scheme, Settings, read_options};
use crate::address::{Address, parse_size};
use crate::caller::Caller;
use crate::ending::{Cause, Ending};
use crate::framing::{Added, Framing, Whole};
use crate::log::REFUSALS;
use crate::memory::Memory;
use crate::message::{Fragment, Kind};
use crate::peer::{
    Carry, Event, MessageStream, Messages, Notice, Opened, Speaker, Spent, StreamFacts, Tally,
};

/// `each:`
pub const SCHEME: Scheme = Scheme {
    names: &["each", "foreachmsg"],
    syntax: "each:ENDPOINT",
    summary: "Open ENDPOINT for each message: it hears that one alone, and what it says is the answer",
    example: "wsbridge ws-l:8080 each:sh-c:wc",
    is_raw: false,
    options: &[Options::augment_args],
    build,
};

/// The option of what hears whole messages.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
struct Options {
    /// Take no message over this many bytes, which must be whole to be heard
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_size)]
    max_message: usize,
}

fn build(address: &Address, settings: &Settings) -> Result<Endpoint> {
    let Some(Endpoint::Dial(inner)) = settings.inner.clone() else {
        let what = "each: opens what it wraps, which can not be a listener";
        return Err(address.place_error(what).into());
    };
    let each = Each {
        name: Address::shown(&address.text),
        inner: inner.dial.clone(),
        framing: inner.facts.framing,
        agrees: inner.facts.agreement != Agreement::Never,
        options: read_options(&SCHEME, address, settings)?,
        memory: settings.memory.clone(),
    };
    let facts = Facts {
        can_half_close: true,
        // None of them is one connection from its beginning to its end.
        host: None,
        remote: None,
        has_terminal: false,
        is_fresh_stream: false,
        again: None,
        agreement: match inner.facts.agreement {
            Agreement::Never => Agreement::Never,
            Agreement::Opening | Agreement::Later => Agreement::Later,
        },
        ..inner.facts.clone()
    };
    Ok(Endpoint::Dial(inner.over(Arc::new(each), facts)))
}

struct Each {
    name: String,
    inner: Arc<dyn Dial>,
    framing: Option<Framing>,
    /// Whether what it wraps agrees to subprotocols.
    agrees: bool,
    options: Options,
    memory: Memory,
}

impl Each {
    /// The caller as the endpoint is opened for it. It was answered before that, so a server is offered none of its subprotocols.
    fn asking(&self, caller: &Caller) -> Caller {
        let mut caller = caller.without_half_close();
        if self.agrees {
            caller.protocols.clear();
        }
        caller
    }
}

impl Dial for Each {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let answers = Answers {
                name: self.name.clone(),
                inner: self.inner.clone(),
                caller: Arc::new(self.asking(caller)),
                memory: self.memory.clone(),
                whole: Whole::new(self.options.max_message, &self.memory),
                state: State::Idle,
                waiting: VecDeque::new(),
                failed: None,
                is_told: false,
                cut_at: None,
                reader: None,
                writer: None,
            };
            let facts = StreamFacts {
                framing: self.framing,
                // Nothing is open yet that could have agreed to one.
                protocol: self.agrees.then(|| "".into()),
                can_half_close: true,
                ..StreamFacts::default()
            };
            Ok(Opened::messages(Box::new(answers), facts))
        })
    }
}

/// One answer after the other.
struct Answers {
    name: String,
    inner: Arc<dyn Dial>,
    caller: Arc<Caller>,
    memory: Memory,
    whole: Whole,
    state: State,
    /// Messages that came together with the one that is answered now.
    waiting: VecDeque<Question>,
    /// How the last one ended that did not end well: that is the end of all.
    failed: Option<Ending>,
    /// Whether no further message comes.
    is_told: bool,
    /// How long messages of bytes may be for the other side, once that is known.
    cut_at: Option<usize>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

enum State {
    /// A message is waited for.
    Idle,
    /// The endpoint is opened for a message.
    Opening {
        next: BoxFuture<'static, Result<Messages>>,
        question: Question,
    },
    /// It says its answer.
    Open {
        stream: Box<dyn MessageStream>,
        has_no_end: bool,
        carry: Carry,
        /// What it has not been told yet.
        question: Option<Question>,
        /// Whether it has said a whole message.
        has_answered: bool,
    },
    /// There is no more.
    Over(Ending),
}

/// A message that is to be answered.
enum Question {
    /// It came at once.
    AtOnce(Fragment),
    /// It was collected, and is taken in pieces.
    Collected(Kind),
}

impl Answers {
    /// Begins with a message.
    fn ask(&mut self, question: Question) {
        let (inner, caller) = (self.inner.clone(), self.caller.clone());
        let cut_at = self.cut_at;
        let memory = self.memory.clone();
        let next = Box::pin(async move {
            let mut messages = inner.dial(&caller).await?.into_messages(&memory);
            if let Some(most) = cut_at {
                messages.stream.notify(Notice::CutAt(most));
            }
            Ok(messages)
        });
        self.state = State::Opening { next, question };
        wake(&mut self.reader);
    }

    /// Notes how one ended.
    fn ended(&mut self, ending: Ending) {
        if ending.is_abort() || ending.exit_status() != 0 {
            if REFUSALS.admits() {
                warn!("{}: {ending}", self.name);
            }
            self.failed = Some(ending);
        }
        self.state = State::Idle;
        match self.waiting.pop_front() {
            Some(question) => self.ask(question),
            None => wake(&mut self.writer),
        }
    }

    /// Sends what is to be sent; ready when the end of it is told.
    fn poll_ask(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open {
            stream,
            carry,
            question,
            has_answered,
            ..
        } = &mut self.state
        else {
            return Poll::Ready(());
        };
        let mut asking = Asking {
            question,
            whole: &mut self.whole,
            // A WebSocket says nothing more after our Close: its answer is waited for.
            may_end: *has_answered || stream.tally().half_closes,
        };
        while !carry.is_told() {
            if carry.poll_send(cx, &mut **stream, &mut asking).is_pending() {
                return stream.poll_flush(cx).map(drop);
            }
        }
        Poll::Ready(())
    }
}

/// What the endpoint has yet to be told.
struct Asking<'a> {
    question: &'a mut Option<Question>,
    whole: &'a mut Whole,
    may_end: bool,
}

impl Speaker for Asking<'_> {
    fn has_finished(&self) -> bool {
        self.question.is_none() && self.may_end
    }

    fn poll_say(&mut self, _cx: &mut Context<'_>) -> Poll<Event> {
        let kind = match self.question.take() {
            None => return Poll::Pending,
            Some(Question::AtOnce(fragment)) => return Poll::Ready(fragment.into()),
            Some(Question::Collected(kind)) => kind,
        };
        // One that had to give way is seen where that is looked for.
        let Some((payload, fin)) = self.whole.take_piece().ok().flatten() else {
            self.whole.drop_waiting();
            return Poll::Pending;
        };
        if !fin {
            *self.question = Some(Question::Collected(kind));
        }
        Poll::Ready(Fragment { kind, fin, payload }.into())
    }

    fn refused(&mut self) {
        // One that takes nothing may still say something, and how it ended.
        if self.question.take().is_some() {
            self.whole.drop_waiting();
        }
    }
}

impl Answers {
    /// Adds a piece of a message, and begins with the message once all of it has come.
    fn add(&mut self, fragment: Fragment) -> Result<(), Ending> {
        let kind = fragment.kind;
        match self.whole.collect(fragment) {
            Ok(Some(added)) => {
                let question = match added {
                    Added::AtOnce(payload) => Question::AtOnce(Fragment {
                        kind,
                        fin: true,
                        payload,
                    }),
                    Added::Collected(_) => Question::Collected(kind),
                };
                match &self.state {
                    State::Idle => self.ask(question),
                    _ => self.waiting.push_back(question),
                }
            }
            Ok(None) => {}
            Err(ending) => {
                self.state = State::Over(ending.clone());
                return Err(ending);
            }
        }
        Ok(())
    }

    /// Ends where the message that is collected, or that the endpoint does not take, had to give way.
    fn look_for_shortage(&mut self, cx: &mut Context<'_>) {
        if let Some(shortage) = self.whole.shortage(cx) {
            self.whole.drop_waiting();
            self.state = State::Over(Ending::OutOfMemory(shortage));
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl MessageStream for Answers {
    fn take(&mut self) -> Option<Event> {
        loop {
            match &mut self.state {
                State::Open {
                    stream,
                    has_no_end,
                    has_answered,
                    ..
                } => {
                    if *has_answered && *has_no_end {
                        self.ended(Ending::Eof);
                        continue;
                    }
                    match stream.take()? {
                        Event::End(ending) => self.ended(ending),
                        event => {
                            *has_answered |= match &event {
                                Event::Fragment(fragment) => fragment.fin,
                                _ => true,
                            };
                            return Some(event);
                        }
                    }
                }
                State::Over(ending) => return Some(Event::End(ending.clone())),
                State::Idle if self.is_told => {
                    let ending = self.failed.take().unwrap_or(Ending::Eof);
                    self.state = State::Over(ending);
                }
                State::Idle | State::Opening { .. } => return None,
            }
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.look_for_shortage(cx);
        if let State::Opening { next, .. } = &mut self.state {
            let opened = ready!(next.as_mut().poll(cx));
            let before = std::mem::replace(&mut self.state, State::Idle);
            let State::Opening { question, .. } = before else {
                return Poll::Ready(());
            };
            self.state = match opened {
                Ok(Opened { stream, facts }) => State::Open {
                    stream,
                    has_no_end: facts.has_no_end,
                    carry: Carry::default(),
                    question: Some(question),
                    has_answered: false,
                },
                Err(error) => {
                    if REFUSALS.admits() {
                        warn!("{}: {}", self.name, Cause::line(&error));
                    }
                    wake(&mut self.writer);
                    let cause = Cause::of(&error).unwrap_or(Cause::Refused);
                    State::Over(Ending::Unreachable(cause))
                }
            };
            return Poll::Ready(());
        }
        // It may say something before it has heard all.
        let _ = self.poll_ask(cx);
        match &mut self.state {
            State::Open { stream, .. } => stream.poll_more(cx),
            State::Over(_) => Poll::Ready(()),
            State::Idle if self.is_told => Poll::Ready(()),
            _ => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn spent(&mut self) -> Spent {
        match &mut self.state {
            State::Open { stream, .. } => stream.spent(),
            _ => Spent::default(),
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.look_for_shortage(cx);
        match &self.state {
            State::Over(ending @ Ending::OutOfMemory(_)) => Poll::Ready(ending.clone()),
            _ => Poll::Pending,
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.look_for_shortage(cx);
        match &self.state {
            State::Idle => Poll::Ready(Ok(())),
            State::Over(ending) => Poll::Ready(Err(ending.clone())),
            _ => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        event.each(|fragment| self.add(fragment))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if let State::Open { stream, .. } = &mut self.state {
            // How it fails is how it ends.
            let _ = ready!(stream.poll_flush(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.is_told = true;
        self.whole.leave_out();
        wake(&mut self.reader);
        match &mut self.state {
            State::Open { stream, .. } if why.is_abort() => stream.poll_close(cx, why),
            State::Opening { .. } if why.is_abort() => {
                self.state = State::Idle;
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn unsent(&self) -> usize {
        match &self.state {
            State::Open { stream, .. } => stream.unsent(),
            _ => 0,
        }
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn notify(&mut self, notice: Notice) {
        if let Notice::CutAt(most) = notice {
            self.cut_at = Some(most);
        }
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn tally(&self) -> Tally {
        Tally {
            half_closes: true,
            works_unheard: match self.state {
                State::Idle => self.is_told,
                State::Opening { .. } | State::Open { .. } => true,
                State::Over(_) => false,
            },
            ..Tally::default()
        }
    }
}
