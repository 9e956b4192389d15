//! Tells the connections of one worker that draining has begun. Connections that wait for it cost no memory that
//! other workers write.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Cell<Option<Instant>>,
    places: RefCell<Places>,
}

#[derive(Debug, Default)]
struct Places {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Bell {
    /// Wakes everybody, and those who come later don't wait.
    pub(crate) fn ring(&self) {
        self.rung.set(Some(Instant::now()));
        for waker in self.places.borrow().wakers.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// When it was rung.
    pub(crate) fn rung(&self) -> Option<Instant> {
        self.rung.get()
    }
}

/// A place among those who are woken.
#[derive(Debug)]
pub(crate) struct Place {
    bell: Rc<Bell>,
    at: usize,
}

impl Place {
    pub(crate) fn new(bell: &Rc<Bell>) -> Self {
        let mut places = bell.places.borrow_mut();
        let at = places.free.pop().unwrap_or_else(|| {
            places.wakers.push(None);
            places.wakers.len() - 1
        });
        drop(places);
        let bell = Rc::clone(bell);
        Self { bell, at }
    }

    /// When the bell was rung; else this task is woken when it is.
    pub(crate) fn listen(&self, cx: &Context<'_>) -> Option<Instant> {
        if let Some(place) = self.bell.places.borrow_mut().wakers.get_mut(self.at) {
            match place {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *place = Some(cx.waker().clone()),
            }
        }
        self.bell.rung()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.bell.places.borrow_mut();
        if let Some(place) = places.wakers.get_mut(self.at) {
            *place = None;
        }
        places.free.push(self.at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn those_who_wait_are_woken_once_and_those_who_left_are_not() {
        let bell = Rc::new(Bell::default());
        let (stays, leaves) = (Arc::<Count>::default(), Arc::<Count>::default());
        let (first, second) = (Place::new(&bell), Place::new(&bell));
        for _ in 0..3 {
            assert_eq!(first.listen(&Context::from_waker(&stays.clone().into())), None);
            assert_eq!(second.listen(&Context::from_waker(&leaves.clone().into())), None);
        }
        drop(second);
        bell.ring();
        assert_eq!((stays.0.load(Relaxed), leaves.0.load(Relaxed)), (1, 0));
        let late = Place::new(&bell);
        assert!(
            late.listen(&Context::from_waker(&leaves.clone().into()))
                .is_some()
        );
        assert_eq!(bell.places.borrow().wakers.len(), 2, "places are used again");
    }
}
