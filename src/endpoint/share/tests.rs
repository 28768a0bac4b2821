//! Callers that come just when the connection ends.

use std::path::Path;
use std::thread;

use clap::{Command, FromArgMatches};
use tokio::time::Instant;

use super::driver::Rest;
use super::*;

/// What is never open.
struct Never;

impl Dial for Never {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<peer::Opened>> {
        Box::pin(std::future::pending())
    }
}

fn options<G: Args + FromArgMatches>() -> G {
    let command = G::augment_args(Command::new("test"));
    G::from_arg_matches(&command.get_matches_from(["test"])).unwrap()
}

fn shared() -> Arc<Shared> {
    let memory = Memory::default();
    Shared::new(
        "test".to_owned(),
        Outlet::new(Arc::new(Never), Facts::default()),
        options(),
        options(),
        &memory,
    )
}

#[tokio::test(start_paused = true)]
async fn who_came_before_the_wait_began_ends_it_too() {
    let shared = shared();
    let _old = shared.room.clone().enter(&Caller::new("old")).unwrap();
    let (tell, _opened) = watch::channel(Opened::NotYet);
    let driver = Driver::new(shared.clone(), tell);
    let begun = Instant::now();
    let rest = Rest {
        until: begun + LONGEST_WAIT,
        came: shared.room.came(),
    };
    let _new = shared.room.clone().enter(&Caller::new("new")).unwrap();
    let mut stop = shared.stop.subscribe();
    assert!(driver.rest(rest, &mut stop).await);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn nobody_enters_while_the_end_of_a_connection_ends_its_callers() {
    let shared = shared();
    let ending = shared.phase();
    let (tell, told) = std::sync::mpsc::channel();
    let caller = thread::spawn({
        let shared = shared.clone();
        let runtime = tokio::runtime::Handle::current();
        move || {
            let _in_runtime = runtime.enter();
            tell.send(std::fs::read_link("/proc/thread-self").unwrap())
                .unwrap();
            shared.enter(&Caller::new("new")).unwrap()
        }
    });
    let place = Path::new("/proc").join(told.recv().unwrap());
    // It sleeps where it waits; one that did enter would have ended.
    while !caller.is_finished() && !sleeps(&place) {
        thread::yield_now();
    }
    assert_eq!(shared.room.came(), 0);
    drop(ending);
    caller.join().unwrap();
    assert_eq!(shared.room.came(), 1);
}

/// Whether a thread sleeps (proc_pid_stat(5)).
fn sleeps(place: &Path) -> bool {
    let stat = std::fs::read_to_string(place.join("stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('S'));
    state == Some(true)
}
