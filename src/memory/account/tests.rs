use std::task::{Context, Wake, Waker};

use super::*;
use crate::memory::{Collected, FREE};

/// A task that notes that it was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const KIB: usize = 1024;

fn collected(memory: &Memory, bytes: usize) -> Collected {
    let mut collected = Collected::new(memory);
    collected.push(&vec![7; bytes]).unwrap();
    collected
}

#[test]
fn what_is_short_is_not_counted_and_what_is_long_is_until_it_is_gone() {
    let memory = Memory::new(1000 * KIB);
    let short = collected(&memory, FREE);
    assert_eq!((short.len(), memory.used()), (FREE, 0));
    let mut long = collected(&memory, 100 * KIB);
    assert!((100 * KIB..150 * KIB).contains(&memory.used()));
    assert_eq!(long.take().unwrap(), vec![7; 100 * KIB]);
    assert!(long.is_empty());
    assert_eq!(memory.used(), 0);
    drop(collected(&memory, 100 * KIB));
    assert_eq!(memory.used(), 0);
}

#[test]
fn a_long_message_is_taken_in_pieces_and_counted_until_the_last() {
    let memory = Memory::new(10_000 * KIB);
    let all: Vec<u8> = (0..300_000u32).map(|at| at.to_le_bytes()[0]).collect();
    let mut message = Collected::new(&memory);
    for piece in all.chunks(1000) {
        message.push(piece).unwrap();
    }
    message.end();
    let mut taken = Vec::new();
    loop {
        assert!(memory.used() >= all.len());
        let (piece, is_last) = message.take_piece().unwrap();
        taken.extend_from_slice(&piece);
        assert_eq!(message.len(), all.len() - taken.len());
        if is_last {
            break;
        }
    }
    assert_eq!((taken == all, memory.used()), (true, 0));
}

#[test]
fn the_largest_gives_way_at_once_and_its_task_is_woken() {
    let memory = Memory::new(400 * KIB);
    let (mut large, mut small) = (collected(&memory, 200 * KIB), collected(&memory, 50 * KIB));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(large.shortage(&mut cx), None);
    let third = collected(&memory, 120 * KIB);
    assert!(woken.0.load(Ordering::Relaxed));
    assert!(memory.used() <= 400 * KIB);
    let gone = large.shortage(&mut cx);
    assert!(matches!(gone, Some(Shortage::Message { held }) if held >= 200 * KIB));
    assert_eq!(large.push(b"more"), Err(gone.unwrap()));
    // The others have what they had.
    assert_eq!(small.take().unwrap().len(), 50 * KIB);
    assert_eq!(third.len(), 120 * KIB);
}

#[test]
fn who_would_be_the_largest_is_told_itself() {
    let memory = Memory::new(400 * KIB);
    let other = collected(&memory, 150 * KIB);
    let mut own = collected(&memory, 100 * KIB);
    assert_eq!(
        own.push(&vec![1; 300 * KIB]),
        Err(Shortage::Message { held: 400 * KIB })
    );
    assert!(own.is_empty(), "what it had is free again");
    assert_eq!(other.len(), 150 * KIB);
    assert!(memory.used() < 200 * KIB);
}

#[test]
fn a_message_that_waits_gives_way_as_a_queue() {
    let memory = Memory::new(400 * KIB);
    let mut waiting = collected(&memory, 250 * KIB);
    waiting.end();
    let _next = collected(&memory, 200 * KIB);
    let gone = waiting.take_piece().unwrap_err();
    assert!(matches!(gone, Shortage::Queue { .. }), "{gone}");
    assert_eq!(gone.code(), 1013);
}

#[test]
fn what_is_worked_with_does_not_give_way() {
    let memory = Memory::new(400 * KIB);
    let mut lent = collected(&memory, 200 * KIB);
    let bytes = lent.lend(100 * KIB).unwrap();
    let mut next = Collected::new(&memory);
    assert!(next.push(&vec![1; 200 * KIB]).is_err());
    assert_eq!(bytes.len(), 200 * KIB);
    lent.clear();
    assert_eq!(memory.used(), 0);
    next.push(&vec![1; 200 * KIB]).unwrap();
}

#[test]
fn spare_memory_is_the_half_that_is_free_and_nobody_gives_way_for_it() {
    let memory = Memory::new(1000 * KIB);
    let held = collected(&memory, 200 * KIB);
    let mut spare = Spare::of(&memory);
    assert!(spare.covers(100 * KIB));
    assert!(!spare.covers(400 * KIB));
    assert!(spare.covers(100 * KIB), "what it has it keeps");
    let used = memory.used();
    drop(held);
    assert!(spare.covers(400 * KIB));
    spare.clear();
    assert_eq!(memory.used(), 0);
    assert!(used > 300 * KIB);
}

#[test]
fn a_queue_is_counted_in_steps() {
    /// A holder that has nothing to give.
    struct Nothing;
    impl Holder for Nothing {
        fn weight(&self) -> usize {
            usize::MAX
        }
        fn give_way(&self) -> usize {
            0
        }
        fn told(&self, _held: usize) -> String {
            String::new()
        }
    }
    let (memory, holder) = (Memory::new(1000 * KIB), Arc::new(Nothing));
    let own: Weak<Nothing> = Arc::downgrade(&holder);
    let holding = Arc::new(memory.hold_queue(own));
    let charges: Vec<_> = (0..100).map(|_| Charge::new(&holding, 1000)).collect();
    assert_eq!((holding.held(), memory.used()), (100_000, 2 * STEP));
    assert!(holding.ensure(10_000, 10_000).is_ok());
    // The one that weighs most cannot give way: who asks is told, and it does not take for ever.
    assert!(holding.ensure(1000 * KIB, 1000 * KIB).is_err());
    drop(charges);
    assert_eq!((holding.held(), memory.used()), (0, 0));
}

#[test]
fn many_at_once_stay_within_the_bound() {
    let memory = Memory::new(4000 * KIB);
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut message = Collected::new(&memory);
                    for _ in 0..150 {
                        if message.push(&[3; 10_000]).is_err() {
                            break;
                        }
                        most.fetch_max(memory.used(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(memory.used(), 0);
    // Each thread may be a step ahead.
    let most = most.load(Ordering::Relaxed);
    assert!(most < 4000 * KIB + 8 * 500 * KIB, "{most}");
    assert!(most > 3000 * KIB, "{most}");
}
