//! The table of figures, and one run of one of them: callers that read what a program says, to its end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::digest::Digest;
use crate::frame::{self, Parser, Role};
use crate::handshake;
use crate::server::Server;

/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(60);
const BUFFER: usize = 256 * 1024;
const LINES: u64 = 1_000_000;
const BYTES: u64 = 256 << 20;

/// What is measured.
pub struct Figure {
    pub name: &'static str,
    /// What a program's output is made of; the empty word is the one of `--echo`.
    program: &'static [&'static str],
    says: Output,
    callers: usize,
    /// One start, or as many lines or bytes as a program has.
    amount: u64,
    pub unit: &'static str,
    pub scale: f64,
    /// The ratio to websocketd is at least this.
    pub goal: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// `up`.
    Word,
    /// The numbers from 1 to [`LINES`].
    Numbers,
    /// [`BYTES`] zeros, in messages of any length.
    Zeros,
}

/// All of them.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "starts",
        program: &["", "up"],
        says: Output::Word,
        callers: 8,
        amount: 1,
        unit: "/s",
        scale: 1.0,
        goal: 1.5,
    },
    Figure {
        name: "one-by-one",
        program: &["", "up"],
        says: Output::Word,
        callers: 1,
        amount: 1,
        unit: "/s",
        scale: 1.0,
        goal: 1.5,
    },
    Figure {
        name: "lines",
        program: &["seq", "1000000"],
        says: Output::Numbers,
        callers: 1,
        amount: LINES,
        unit: "M/s",
        scale: 1e6,
        goal: 3.0,
    },
    Figure {
        name: "bytes",
        program: &["head", "-c", "268435456", "/dev/zero"],
        says: Output::Zeros,
        callers: 1,
        amount: BYTES,
        unit: "MiB/s",
        scale: 1_048_576.0,
        goal: 1.2,
    },
];

/// What each caller is to get.
pub struct Expected {
    messages: Option<u64>,
    bytes: u64,
    digest: u64,
}

impl Expected {
    /// Makes it something that does not come.
    pub fn damage(&mut self) {
        self.digest ^= 1;
    }
}

/// What one run found.
pub struct Rate {
    /// In a second.
    pub value: f64,
    /// Seconds of processor time of one, that of the program included.
    pub cpu: f64,
}

impl Figure {
    pub fn expected(&self) -> Expected {
        let mut digest = Digest::new();
        let messages = match self.says {
            Output::Word => {
                digest.update(b"up", [0; 4]);
                Some(1)
            }
            Output::Numbers => {
                for number in 1..=LINES {
                    digest.update(number.to_string().as_bytes(), [0; 4]);
                }
                Some(LINES)
            }
            Output::Zeros => {
                let zeros = vec![0; BUFFER];
                for _ in 0..BYTES / BUFFER as u64 {
                    digest.update(&zeros, [0; 4]);
                }
                None
            }
        };
        Expected {
            messages,
            bytes: digest.count(),
            digest: digest.value(),
        }
    }

    /// Lets callers come one after the other for this time, at least one each.
    pub fn run(
        &self,
        server: &Server,
        echo: &str,
        expected: &Expected,
        time: Duration,
    ) -> Result<Rate> {
        let words = self.program.iter();
        let words = words.map(|word| if word.is_empty() { echo } else { word });
        let words: Vec<&str> = words.collect();
        let (processes, port) = server.start(self.says == Output::Zeros, &words)?;
        let before = processes.usage().cpu;
        let start = Instant::now();
        let caller = || {
            let mut count = 0;
            while count == 0 || start.elapsed() < time {
                call(port, expected)?;
                count += 1;
            }
            Ok(count)
        };
        let count: u64 = processes.watched(PATIENCE, || {
            thread::scope(|scope| {
                let callers: Vec<_> = (0..self.callers).map(|_| scope.spawn(caller)).collect();
                let counts = callers.into_iter().map(|caller| {
                    let count = caller.join();
                    count.unwrap_or_else(|_| Err(anyhow!("a caller panicked")))
                });
                counts.sum::<Result<u64>>()
            })
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let value = (count * self.amount) as f64;
        let cpu = processes.usage().cpu - before;
        Ok(Rate {
            value: value / seconds,
            cpu: cpu / value,
        })
    }
}

/// One caller: what comes up to the server's Close is what was expected.
fn call(port: u16, expected: &Expected) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    handshake::ask(&mut stream, port)?;
    let (mut parser, mut digest) = (Parser::new(None), Digest::new());
    let mut buf = vec![0; if expected.bytes > 64 { BUFFER } else { 1024 }];
    while !parser.is_closed {
        let count = stream.read(&mut buf)?;
        if count == 0 {
            break;
        }
        parser.feed(&buf[..count], &mut digest);
    }
    // It may have gone: what it was to say is said.
    let _ = stream.write_all(&frame::close(Role::Client));
    if let Some(error) = parser.error {
        return Err(anyhow!(error));
    }
    let messages = expected.messages.unwrap_or(parser.messages);
    ensure!(
        parser.messages == messages && digest.count() == expected.bytes,
        "{} messages and {} bytes came, of {messages} and {}",
        parser.messages,
        digest.count(),
        expected.bytes
    );
    ensure!(digest.value() == expected.digest, "what came was altered");
    Ok(())
}
