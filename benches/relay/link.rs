//! One open connection of the load generator: to the bridge as its caller, or from the bridge as its target.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::frame::{self, Role};
use crate::handshake;

/// How long a single read, write or accept may wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection speaks at our end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Plain,
    Frames(Role),
}

/// An open connection.
pub enum Link {
    Tcp(TcpStream),
    Stdin(Option<ChildStdin>),
    Stdout(ChildStdout),
}

impl Link {
    /// Connects to the bridge, and asks for a WebSocket if that is spoken.
    pub fn call(port: u16, speech: Speech) -> Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
        prepare(&stream, PATIENCE)?;
        if speech != Speech::Plain {
            handshake::ask(&mut stream, port)?;
        }
        Ok(stream)
    }

    /// Accepts the bridge's connection, and answers its handshake if there is one.
    pub fn accept(listener: &TcpListener, speech: Speech) -> Result<TcpStream> {
        let (mut stream, _) = listener
            .accept()
            .context("waiting for the bridge to connect")?;
        prepare(&stream, PATIENCE)?;
        if speech != Speech::Plain {
            handshake::answer(&mut stream)?;
        }
        Ok(stream)
    }

    /// Lets every read and write wait for so much longer than usual.
    pub fn be_patient(&self, more: Duration) -> io::Result<()> {
        match self {
            Link::Tcp(stream) => prepare(stream, PATIENCE + more),
            Link::Stdin(_) | Link::Stdout(_) => Ok(()),
        }
    }

    /// Lets the system gather small writes, as most programs do, or sends what it has gathered.
    pub fn gather(&self, gathers: bool) -> io::Result<()> {
        match self {
            Link::Tcp(stream) => stream.set_nodelay(!gathers),
            Link::Stdin(_) | Link::Stdout(_) => Ok(()),
        }
    }

    /// Says that nothing more will be sent.
    pub fn end(&mut self, speech: Speech) -> io::Result<()> {
        match (self, speech) {
            (Link::Tcp(stream), Speech::Plain) => stream.shutdown(Shutdown::Write),
            (Link::Tcp(stream), Speech::Frames(role)) => stream.write_all(&frame::close(role)),
            (Link::Stdin(stdin), _) => {
                *stdin = None;
                Ok(())
            }
            (Link::Stdout(_), _) => Ok(()),
        }
    }

    /// Reads for a short while only.
    pub fn be_impatient(&self) -> io::Result<()> {
        match self {
            Link::Tcp(stream) => stream.set_read_timeout(Some(Duration::from_millis(150))),
            Link::Stdin(_) | Link::Stdout(_) => Ok(()),
        }
    }
}

fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))
}

/// Listens on a free port of the loopback; accepting gives up in the end.
pub fn listen() -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4096)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

impl Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Tcp(stream) => stream.read(buf),
            Link::Stdout(stdout) => stdout.read(buf),
            Link::Stdin(_) => Ok(0),
        }
    }
}

impl Write for Link {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Link::Tcp(stream) => stream.write_vectored(bufs),
            Link::Stdin(Some(stdin)) => stdin.write_vectored(bufs),
            Link::Stdin(None) | Link::Stdout(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
