//! wsbridge joins any two endpoints by one generic two-way pump. This page is the map of the code.
//!
//! # Ten nouns
//!
//! | noun | what it is | where |
//! |---|---|---|
//! | **Address** | what the user typed for one side | [`address`] |
//! | **Scheme** | one row of the table of kinds of endpoint | [`endpoint::Scheme`], the table is [`scheme::SCHEMES`] |
//! | **Endpoint** | a parsed, checked address; it dials or it listens | [`endpoint::Endpoint`], a file each in `endpoint/` |
//! | **Offer** | a caller that waits for an answer | [`endpoint::Offer`] |
//! | **Caller** | who is on the left | [`caller::Caller`] |
//! | **Peer** | one open connection, bytes or messages | [`peer::Opened`] |
//! | **Fragment** | a piece of a message | [`message::Fragment`] |
//! | **Framing** | how bytes are cut into messages | [`framing::Framing`] |
//! | **Ending** | how one direction ended | [`ending::Ending`] |
//! | **Session** | two peers being pumped, and its outcome | [`session`], [`pump::Outcome`] |
//!
//! The two sides are *left* and *right*, never first and second. *Frame* is RFC 6455's frame on the wire: a word of [`ws`].
//!
//! # Layers
//!
//! ```text
//! main > signals                           the process: exit, environment, signals
//!   > cli > docs > scheme > bridge, doctor > world > session > takers
//!     > endpoint/*                         what the tool speaks, a file each
//!       > http, ws, tls                    protocols, over any ByteStream; they never dial
//!       > tap                              looks at what passes, for --dump and --tee
//!         > pump > framing + peer          the data path; knows no endpoint, no WebSocket, no socket
//!           > buffer child
//!             > message ending caller address extension variables secret shown utf8 word host sendqueue workers heap
//!                                            memory steps columns progress mistake log reread
//!                                          depend on nothing of ours but each other
//! ```
//!
//! An arrow never turns back; a test reads the `use crate::` lines, and another the imports of each file. `framing` and `peer`
//! are one layer: the seam between bytes and messages, [`peer::into_messages`], stands where both are known. UTF-8 is judged in
//! [`utf8`], below both WebSocket and lines, because both must judge it.
//!
//! An address may wrap another (`ws-c:tcp:localhost:80`): [`scheme`] cuts it into layers and builds them from the core on; a
//! wrapper finds what it wraps in [`endpoint::Settings`]. The options stand behind the core, and each goes to the outermost
//! layer that has its key. A flag is for every layer that has it.
//!
//! What is wrong with a command line is said by [`mistake`] (options) and [`address::AddressError`] (addresses, with a caret),
//! how a single session ended by `ending/describe.rs`; `tests/it/errors` has the exact text of each.
//!
//! A browser that opens the address of a WebSocket server gets a page where one suits the other side: [`endpoint::Facts::page`]
//! names it, [`bridge`] carries the name to the listener, and [`http::page`] knows the page and nothing of what it is for.
//! `--page` names another one, or a file.
//!
//! `endpoint/room.rs` is what `hub:` and `share:` have in common: members, their queues, what they missed. In a hub they hear
//! each other; in a share a task of its own (`share/driver.rs`) carries between them and the one connection. The share is an
//! [`endpoint::Service`] that [`bridge`] starts, which may open the connection before the first call, and ends. Once the last
//! caller has left the task sees that connection to its end (`share/farewell.rs`), and the next caller has a task of its own.
//!
//! What a bridge owns is in one [`world::World`], which `main` makes: the stop, the sessions, memory, programs, rooms, what is
//! read again. Endpoints find their part of it in [`endpoint::Settings`], sessions in [`session::Shared`]. Threads, seats and
//! unfinished handshakes live as long as [`bridge::run`]. So a process can have several bridges that do not know of each other.
//! A `static` is for what the process has once: stderr and the limits of its log, the terminal, the pool of buffers, facts about
//! the system. Signals and the reaper of orphans are the process's too, and belong to `main`.
//!
//! A stop has one clock, in [`bridge`]: sessions end within `--drain`, programs get TERM after three quarters of it and KILL at
//! its end, and a moment later the bridge ends whatever is left.
//!
//! A signal that stops nothing reaches those it is for without a word to anybody else: [`reread`] knows what a bridge has read from
//! files and reads it again (SIGHUP), [`session::table`] asks each open session for its row (SIGUSR1), which costs nothing until then.
//!
//! Who is let in, and when, is in `bridge/admission.rs`: a thread has few connections that it has not read, a request that is
//! there whole is served at once, and anything else takes a place, which the address with most places loses first. Descriptors
//! are divided before they run out (`bridge/descriptors.rs`).
//!
//! Where the right side listens its callers wait in [`takers`] until sessions take them. Where none waits, a session ends that has
//! its answer and lingers (`pump/lingering.rs`): it may hold the only agent. A left side that connects again
//! before a stream of bytes is the agent of a reverse tunnel: one session follows the other (`session/turns.rs`).
//!
//! To add an endpoint: one file in `endpoint/` and one line in [`scheme::SCHEMES`]; help, man page, completions and README
//! follow. What only speaks in messages is an async function ([`endpoint::Spoken`], [`peer::MessageStreamExt`]). To add an option: one field, with its doc comment, in the option group of the module that uses it; the flag, the
//! comma option and `-o side.key` follow. To add a framing: one file in `framing/` with a splitter and a joiner, a variant of
//! [`framing::Cut`] and a name in [`framing::CUTS`].
//!
//! What is written of them for people and shells is in `docs/`: manual pages by a writer of roff of our own, because they have
//! more sections than clap knows, and completions, a helper by hand for each shell over tables that are the same in all three,
//! because an address is more than one of clap's values.
//!
//! # Invariants
//!
//! What is not there is what holds:
//!
//! * There is **one pump and one seam**. No endpoint copies bytes to another, none knows the other side. What a share and
//!   `each:` say to the stream that they wrap goes through one [`peer::Carry`].
//! * **No default method** in the traits of streams and endpoints. What is known about them is data, which a wrapper inherits by
//!   struct update ([`peer::StreamFacts`], [`endpoint::Facts`], [`endpoint::Bound`]); the compiler finds a method that it forgets.
//! * **No error channel** in a message stream: a reset is an [`ending::Ending`]. What a peer does is data, never a panic.
//! * **No clean end is made of an abort.** [`endpoint::tcp::Connection`] that is dropped without a clean end resets; a
//!   [`peer::Pipe`] that is dropped says that it was lost.
//! * **No clean end of TLS without close_notify**, neither read nor written: [`tls`] makes a cut of the one and a reset of an
//!   abort. Whom the system trusts is read when TLS is dialled first, and never else.
//! * **What is collected or queued is counted** in the bridge's own [`memory::Memory`], which endpoints find in
//!   [`endpoint::Settings`]. A long message lies where the account can take it away, and leaves in pieces.
//! * **Nothing is allocated for a length that a peer claims**; [`ws::codec`] has no buffer of its own.
//! * **No idle connection holds a read buffer**: [`buffer`] lends them for the time between a read and the write. Each begins
//!   128 bytes behind a page of memory, because copies to and from its beginning are slow on some processors.
//! * **One buffer in flight per direction**: a source is polled only when its sink is ready. No channel is on the data path.
//! * **A blocked sink does not hide its source**: that is read on and watched (`pump/blocked.rs`), on timers alone. Facts about a
//!   socket come from [`sendqueue`], through [`peer::ByteStream::descriptor`].
//! * **Life is movement** (`ws/alive.rs`): no peer is dead by a missing pong while anything is on its way to it.
//! * **No terminal but stdio's is edited**: `endpoint/prompt.rs` has two threads and bounded queues of its own, beside the data
//!   path of pipes; `main` restores the terminal last.
//! * **No handshake in the accept loop**: [`endpoint::Accept`] only accepts, in order that a slow caller holds up nobody.
//! * **No `unsafe`** but three calls in [`sendqueue`], two in [`heap`], one in `ws/mask.rs`, what starts programs in
//!   `child/spawn.rs`, and one attribute in `closed.rs` of the program itself; all five say why.
//! * **Nothing waits for stderr**: only the thread of [`log`] writes to it, out of a queue that has bounds, and counts what it
//!   leaves out. Whatever callers cause goes through one of its limits ([`log::CLOSINGS`], [`log::REFUSALS`]).
//! * **No poll is longer than a turn** ([`peer::Spent`]): what is read counts, and not what comes of it, so that empty frames
//!   keep no thread.
//! * **A session that is not watched has no [`tap`]**; one that is has its streams wrapped, and waits for the thread that writes
//!   only when that is 256 KiB behind with what the session itself had to say, and never once the bridge is to stop.
//! * **No short message of a room is copied for each member**: what is said at once is one shared [`message::Batch`] in all
//!   queues, and the first server's WebSocket that sends it makes its frames for all.
//! * **No second way to an endpoint**: `doctor` watches the dialling that a session does, by [`steps`].
//! * **stdout carries payload and nothing else**; only `main` exits.
//! * **No text of a peer is shown as it is**: [`shown`] escapes what a terminal obeys or what turns text around. `main` does it for the
//!   whole log; who writes elsewhere does it there.
//! * **No refusal says anything of the request**: [`http::refusal::Refusal`] has constant text for the caller, and why for the log.
//! * **What an option is, is said where it is declared, and nowhere is there a list**: secret by the types [`secret::Secret`] and
//!   [`secret::Assignment`], any bytes by a type such as `PathBuf` (other values are UTF-8), a computed default by `(default: ...)`
//!   at the end of its summary.
//!
//! # A byte's journey
//!
//! `wsbridge ws-l:8080 tcp:localhost:6379`, from a browser to Redis and back:
//!
//! 1. [`cli`] reads the words; [`scheme`] finds both rows, and each row's `build` checks its [`address::Address`] and options.
//! 2. [`bridge`] binds, says `listening on ws://127.0.0.1:8080`, accepts, and gives each caller a task on the thread that has
//!    the fewest of them ([`workers`]); it stays there.
//! 3. In the task [`http::server`] reads the head within its deadline; [`http::policy`] judges Host and Origin by the patterns of
//!    [`http::policy::origin`]. A good upgrade is answered by our own bytes (`http/reply.rs`); hyper reads any other request
//!    again from its first byte and answers it. The caller is now an *offer*. [`session`] dials the right side, and only then is the offer accepted with 101, or refused with 502,
//!    503 or 504.
//! 4. The TCP side becomes messages through [`framing::Framed`]; it ignores boundaries, and so the pump allows the WebSocket
//!    side to merge messages. [`pump`] polls both directions in that one task.
//! 5. [`buffer::ReadBuffer`] borrows 256 KiB and reads all that the kernel has. [`ws::codec::Decoder`] judges each header, then
//!    unmasks the payloads and moves them together where they lie. One [`message::Fragment`] goes to the TCP side, whose
//!    [`buffer::Outbox`] writes it in one call. The payload is a `BytesMut`, owned alone: a client masks it in place. Where
//!    boundaries matter, to lines or another WebSocket, the short messages of a read go as one [`message::Batch`] instead:
//!    the buffer and where each of them lies in it.
//! 6. Back: one read of TCP is cut into messages of at most `--chunk` (32 KiB), each of which is one fragment and one frame.
//!    Headers and payloads of all of them leave in one `writev`, from where they lie. The flush comes when the source has run
//!    dry, so that many small messages share a write and a single one leaves at once. A message that must stay one and is
//!    longer goes out as several frames of that size.
//! 7. Redis closes: `Ending::Eof`, by the table in [`ending`] a Close 1000, or toward another bridge the half-close marker
//!    ([`ws::half_close`]). The other direction goes on until the browser's Close or marker; `pump/answers.rs` says how long
//!    answers are awaited. Both endings and the counts are the [`pump::Outcome`]: a closing line, and for a single session
//!    the exit status.

pub(crate) mod address;
pub mod bridge;
pub mod buffer;
pub(crate) mod caller;
pub mod child;
pub mod cli;
pub mod columns;
pub mod docs;
pub mod doctor;
pub mod ending;
pub mod endpoint;
pub mod extension;
pub mod framing;
pub mod heap;
pub mod host;
pub mod http;
pub mod log;
pub mod memory;
pub mod message;
pub(crate) mod mistake;
pub mod peer;
pub mod progress;
pub mod pump;
pub mod reread;
pub mod scheme;
pub(crate) mod secret;
pub mod sendqueue;
pub mod session;
pub mod shown;
pub mod steps;
pub(crate) mod takers;
pub(crate) mod tap;
pub mod tls;
pub mod utf8;
pub mod variables;
pub(crate) mod word;
pub mod workers;
pub mod world;
pub mod ws;
