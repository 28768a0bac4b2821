//! The steps on the way to an open connection, told to whoever watches them; where nobody does they cost a look.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

tokio::task_local! {
    static WATCH: Arc<Watch>;
}

/// Takes the name of a step, what came of it, and how long it took.
type Tell = dyn Fn(&'static str, &str, Duration) + Send + Sync;

/// Who is told of steps.
pub struct Watch {
    tell: Box<Tell>,
    /// What has begun and has not ended.
    open: Mutex<Vec<(&'static str, Instant)>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    /// Makes a watch that tells so.
    pub fn new(tell: impl Fn(&'static str, &str, Duration) + Send + Sync + 'static) -> Arc<Watch> {
        Arc::new(Watch {
            tell: Box::new(tell),
            open: Mutex::default(),
        })
    }

    /// Runs a future, all of whose steps are told.
    pub async fn over<F: Future>(self: &Arc<Watch>, future: F) -> F::Output {
        WATCH.scope(self.clone(), future).await
    }

    /// The step that began last and did not end, and how long ago that was.
    pub fn broken(&self) -> Option<(&'static str, Duration)> {
        // Nothing panics while it is held.
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.last().map(|(name, since)| (*name, since.elapsed()))
    }
}

/// A step that has begun.
#[derive(Debug)]
#[must_use = "a step that is not told to be done has failed"]
pub struct Step(Option<Arc<Watch>>);

impl Step {
    /// Begins a step.
    pub fn begin(name: &'static str) -> Step {
        let watch = WATCH.try_with(Arc::clone).ok();
        if let Some(watch) = &watch {
            let mut open = watch.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.push((name, Instant::now()));
        }
        Step(watch)
    }

    /// Says what came of it.
    pub fn done(self, what: impl FnOnce() -> String) {
        let Some(watch) = self.0 else { return };
        let open = watch
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some((name, since)) = open {
            (watch.tell)(name, &what(), since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_is_not_done_has_failed() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let watch = Watch::new({
            let told = told.clone();
            move |name, what, _| told.lock().unwrap().push(format!("{name}: {what}"))
        });
        watch
            .over(async {
                Step::begin("resolve").done(|| "127.0.0.1".to_owned());
                let _connect = Step::begin("connect");
            })
            .await;
        assert_eq!(*told.lock().unwrap(), ["resolve: 127.0.0.1"]);
        assert_eq!(watch.broken().unwrap().0, "connect");
    }

    #[tokio::test]
    async fn without_a_watch_nothing_is_said() {
        Step::begin("resolve").done(|| unreachable!("nobody asks"));
    }
}
