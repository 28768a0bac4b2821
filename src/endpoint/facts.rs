//! What is known about an endpoint before it is opened, beside what opens it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;

use super::{Accept, Agreement, Backoff, BoxFuture, Dial, Listen, Offer};
use crate::caller::Caller;
use crate::framing::Framing;
use crate::http::page::Page;

/// An endpoint that opens connections.
///
/// A wrapper [replaces](Outlet::over) what dials and inherits the facts by struct update: `Facts { host: None, ..inner.facts }`.
#[derive(Clone)]
pub struct Outlet {
    /// Opens them.
    pub dial: Arc<dyn Dial>,
    /// Opens one on which a caller waits for an answer, where it is of that kind. The other side is then opened for that
    /// caller before it is answered.
    pub offers: Option<Arc<dyn Serve>>,
    /// What is known about it.
    pub facts: Facts,
    /// Work in the background that belongs to it.
    pub services: Vec<Arc<dyn Service>>,
}

/// An endpoint that waits for callers.
#[derive(Clone)]
pub struct Inlet {
    /// Opens its sockets.
    pub listen: Arc<dyn Listen>,
    /// What is known about it.
    pub facts: Facts,
}

impl Outlet {
    /// Makes an endpoint that has no work in the background.
    pub fn new(dial: Arc<dyn Dial>, facts: Facts) -> Outlet {
        Outlet {
            dial,
            offers: None,
            facts,
            services: Vec::new(),
        }
    }

    /// Makes a wrapper of it, which dials by `dial` and of which `facts` are known. It keeps the work in the background.
    pub fn over(self, dial: Arc<dyn Dial>, facts: Facts) -> Outlet {
        Outlet {
            services: self.services,
            ..Outlet::new(dial, facts)
        }
    }
}

/// What is known about an endpoint before it is opened.
#[derive(Clone, Debug)]
pub struct Facts {
    /// How its bytes are cut into messages; `None` where it has messages of its own.
    pub framing: Option<Framing>,
    /// The host that it leads to, where it has one: the name that TLS asks for.
    pub host: Option<String>,
    /// The address at the other end of the socket that this process was started with, where it is one: inetd's caller.
    pub remote: Option<SocketAddr>,
    /// The page that suits it, for browsers that come to a listener in front of it.
    pub page: Option<Page>,
    /// Whether callers of other machines must be kept from it: it runs programs, and no option allows them to all.
    pub runs_programs: bool,
    /// How long its programs have to end by themselves, and again after TERM; `None` where it runs none.
    pub kill_after: Option<Duration>,
    /// Whether it is a terminal: it takes its size in text messages where the caller's query has `resize=1`.
    pub has_terminal: bool,
    /// Whether each session has a stream of bytes of its own, which nothing of another session may become part of.
    pub is_fresh_stream: bool,
    /// Whether what it opens can carry half-closes ([`StreamFacts::can_half_close`]), as far as that is known before.
    ///
    /// [`StreamFacts::can_half_close`]: crate::peer::StreamFacts::can_half_close
    pub can_half_close: bool,
    /// When it agrees to a subprotocol: what opens WebSockets does.
    pub agreement: Agreement,
    /// Descriptors that each session has open here, so that there are no more sessions than descriptors for them.
    pub descriptors: usize,
    /// The waits between one session and the next, where it connects again: `reconnect:`.
    pub again: Option<Backoff>,
    /// Set once it cannot be dialled again: standard input that has ended.
    pub spent: Arc<AtomicBool>,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            framing: None,
            host: None,
            remote: None,
            page: None,
            runs_programs: false,
            kill_after: None,
            has_terminal: false,
            is_fresh_stream: false,
            can_half_close: false,
            agreement: Agreement::Never,
            descriptors: 1,
            again: None,
            spent: Arc::default(),
        }
    }
}

impl Facts {
    /// Whether it cannot be dialled again.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire)
    }

    /// Returns what stays true of a protocol that is spoken over it: what its connections cost, and what they run.
    #[must_use]
    pub fn below(self) -> Facts {
        Facts {
            runs_programs: self.runs_programs,
            kill_after: self.kill_after,
            descriptors: self.descriptors,
            spent: self.spent,
            ..Facts::default()
        }
    }
}

/// An endpoint that has one caller, which waits for an answer: a server on the one connection that there is.
pub trait Serve: Send + Sync {
    /// Opens the connection and reads what the caller asks for.
    ///
    /// # Errors
    /// Those of [`Dial::dial`], and a caller that asks for nothing that can be answered.
    fn offer<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Box<dyn Offer>>>;
}

/// Work in the background that belongs to an endpoint: it is started before the first caller, and ended by its owner.
pub trait Service: Send + Sync {
    /// Works until `stop` says so, then ends what is left; ready when that is over, which the owner bounds.
    fn run(self: Arc<Self>, stop: Stopping) -> BoxFuture<'static, ()>;
}

/// Tells a service that its owner ends.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Makes one that is told by the sender.
    pub fn of(stop: &watch::Sender<bool>) -> Stopping {
        Stopping(stop.subscribe())
    }

    /// Waits until the service is to end. Cancel-safe.
    pub async fn told(&mut self) {
        // An owner that is gone ends it too.
        let _ = self.0.wait_for(|is_told| *is_told).await;
    }
}

/// Listening sockets, and what is known about them.
pub struct Bound {
    /// Accepts callers.
    pub accept: Box<dyn Accept>,
    /// Where it listens, as URLs or addresses to connect to.
    pub places: Vec<String>,
    /// Where a browser finds a page, if there is one: `http://127.0.0.1:8080`.
    pub page_place: Option<String>,
    /// Whether other machines can call.
    pub is_exposed: bool,
    /// Who of this machine may connect, where its system judges that: the permissions of a Unix socket.
    pub access: Option<String>,
    /// Whether it keeps some of them out: by certificates of clients, or because it answers for certain names only.
    pub is_restricted: bool,
}

impl Bound {
    /// Where it listens and who may connect there, for the log.
    pub fn announcement(&self) -> String {
        let access = self.access.as_ref().map(|access| format!(" ({access})"));
        self.places.join(" and ") + &access.unwrap_or_default()
    }
}
