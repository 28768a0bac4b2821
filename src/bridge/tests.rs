use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use clap::Args;

use super::*;
use crate::address::Address;
use crate::caller::Caller;
use crate::endpoint::{BoxFuture, Dial, Outlet, Scheme, hub, process, tcp, unix};
use crate::memory::Memory;
use crate::peer::panicking::Panicking;
use crate::peer::{Opened, Pipe, StreamFacts};

/// A target that has a bug: it panics for its first caller.
struct Faulty(AtomicUsize);

impl Dial for Faulty {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        assert!(
            self.0.fetch_add(1, Ordering::Relaxed) > 0,
            "the first one fails"
        );
        Box::pin(async { Ok(Pipe::looped().into()) })
    }
}

fn options<G: Args>(words: &[&str]) -> G {
    let command = G::augment_args(clap::Command::new("").no_binary_name(true));
    G::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

/// A plan whose left side is its right side too, until it has another.
fn plan(right: Endpoint, words: &[&str]) -> Plan {
    Plan {
        names: ["left".to_owned(), "right".to_owned()],
        left: right.clone(),
        right,
        taps: Default::default(),
        session: options(&[]),
        bridge: options(words),
    }
}

/// A bridge of lines that listens on a Unix socket, in a world of its own.
struct Bridge {
    world: World,
    socket: PathBuf,
    running: JoinHandle<Result<u8>>,
    _folder: TempDir,
}

impl Bridge {
    fn start(scheme: &Scheme, address: &str, words: &[&str]) -> Bridge {
        let world = World::new(Memory::default());
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let left = format!("unix-l:{},framing=lines", socket.display());
        let plan = Plan {
            left: built(&unix::LISTEN, &left, &world),
            ..plan(built(scheme, address, &world), words)
        };
        let own = world.clone();
        Bridge {
            world,
            socket,
            running: tokio::spawn(async move { run(&plan, &own).await }),
            _folder: folder,
        }
    }

    async fn connect(&self) -> BufReader<UnixStream> {
        loop {
            match UnixStream::connect(&self.socket).await {
                Ok(stream) => return BufReader::new(stream),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Stops it, and returns its exit status.
    async fn stop(self) -> u8 {
        self.world.stop(Stop::Terminate);
        self.running.await.unwrap().unwrap()
    }
}

fn built(scheme: &Scheme, address: &str, world: &World) -> Endpoint {
    (scheme.build)(&Address::parse(address, scheme.is_raw), &world.settings()).unwrap()
}

/// Says a line, and expects it back before any other.
async fn echoes(client: &mut BufReader<UnixStream>, line: &str) {
    client.write_all(line.as_bytes()).await.unwrap();
    let mut heard = String::new();
    client.read_line(&mut heard).await.unwrap();
    assert_eq!(heard, line);
}

/// A target whose streams have a bug.
struct Broken;

impl Dial for Broken {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let stream = Box::new(Panicking(Pipe::looped()));
            Ok(Opened::messages(stream, StreamFacts::default()))
        })
    }
}

/// Starts a bridge for callers of TCP, in a world of its own, and returns the port where they call.
fn serve(right: Arc<dyn Dial>, words: &[&str]) -> (World, u16, JoinHandle<Result<u8>>) {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let world = World::new(Memory::default());
    let plan = Plan {
        left: built(&tcp::LISTEN, &format!("tcp-l:127.0.0.1:{port}"), &world),
        ..plan(Endpoint::Dial(Outlet::new(right, Facts::default())), words)
    };
    let own = world.clone();
    let running = tokio::spawn(async move { run(&plan, &own).await });
    (world, port, running)
}

async fn connect(port: u16) -> TcpStream {
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => return stream,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_panic_of_the_only_session_ends_the_bridge() {
    // The one fails while it is opened, the other while it is pumped.
    for target in [
        Arc::new(Faulty(0.into())) as Arc<dyn Dial>,
        Arc::new(Broken),
    ] {
        let (_world, port, bridge) = serve(target, &["--once"]);
        let mut answer = Vec::new();
        let failed = connect(port).await.read_to_end(&mut answer).await;
        assert!(failed.is_err(), "a session that failed is no end of file");
        let ended = timeout(Duration::from_secs(30), bridge).await;
        assert_eq!(ended.unwrap().unwrap().unwrap(), BUG);
    }
}

#[tokio::test]
async fn a_panic_in_one_session_ends_that_session_alone() {
    let (world, port, bridge) = serve(Arc::new(Faulty(0.into())), &[]);
    let mut answer = Vec::new();
    let failed = connect(port).await.read_to_end(&mut answer).await;
    assert!(failed.is_err(), "a session that failed is no end of file");
    let mut second = connect(port).await;
    second.write_all(b"hello").await.unwrap();
    second.shutdown().await.unwrap();
    second.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"hello");
    world.stop(Stop::Terminate);
    assert_eq!(bridge.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn members_of_a_room_do_not_hear_those_of_another_bridge() {
    let bridges = [(); 2].map(|()| Bridge::start(&hub::SCHEME, "hub:room", &[]));
    let [mut first, mut second] = [bridges[0].connect().await, bridges[1].connect().await];
    // Each is in its room once it hears itself.
    echoes(&mut first, "one\n").await;
    echoes(&mut second, "two\n").await;
    echoes(&mut first, "three\n").await;
    echoes(&mut second, "four\n").await;
}

#[tokio::test]
async fn a_stop_of_a_bridge_leaves_another_and_its_programs() {
    let bridges = [(); 2].map(|()| Bridge::start(&process::SHELL, "sh-c:cat", &[]));
    let [mut first, mut second] = [bridges[0].connect().await, bridges[1].connect().await];
    echoes(&mut first, "one\n").await;
    echoes(&mut second, "two\n").await;
    let [stopped, left] = bridges;
    let counts = [&stopped, &left].map(|bridge| bridge.world.children.count());
    assert_eq!(counts, [1, 1]);
    let world = stopped.world.clone();
    stopped.stop().await;
    assert_eq!(
        (world.children.count(), left.world.children.count()),
        (0, 1)
    );
    assert_eq!(left.world.asked(), None);
    echoes(&mut second, "three\n").await;
    left.stop().await;
}

#[tokio::test]
async fn callers_of_a_bridge_take_no_seat_of_another() {
    let words = ["--max-connections=1", "--max-per-ip=1"];
    let bridges = [(); 2].map(|()| Bridge::start(&process::SHELL, "sh-c:cat", &words));
    let mut all = Vec::new();
    for bridge in &bridges {
        let mut taken = bridge.connect().await;
        echoes(&mut taken, "one\n").await;
        let mut refused = bridge.connect().await;
        let answer = refused.read_to_end(&mut Vec::new()).await;
        assert!(matches!(answer, Ok(0) | Err(_)), "it has one seat");
        all.push(taken);
    }
    for taken in &mut all {
        echoes(taken, "two\n").await;
    }
}
