//! The queue between the many threads that emit events and the one thread that shows them.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::{Painter, Quiet, Sink};
use crate::progress::{Event, Phase, Progress};
use crate::sys::clock::Stopwatch;

/// An entry of the queue.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    Event(Event),
    Note(String),
}

/// Messages in order; advances of one item are merged, so that the queue stays short however
/// slow the terminal is.
#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    /// Index in `messages` of an item's advance to which later advances can be added.
    advances: HashMap<(Phase, Arc<str>), usize>,
    /// True if there is a message that must be shown at once.
    urgent: bool,
    closed: bool,
}

impl Queue {
    fn push(&mut self, event: Event) {
        match event {
            Event::ItemAdvanced { phase, item, bytes } => {
                let key = (phase, item);
                let known = self.advances.get(&key).copied();
                if let Some(Message::Event(Event::ItemAdvanced { bytes: sum, .. })) =
                    known.and_then(|at| self.messages.get_mut(at))
                {
                    *sum = sum.saturating_add(bytes);
                    return;
                }
                let item = key.1.clone();
                self.advances.insert(key, self.messages.len());
                let event = Event::ItemAdvanced { phase, item, bytes };
                self.messages.push(Message::Event(event));
            }
            event => {
                if let Event::ItemStarted { phase, item, .. }
                | Event::ItemFinished { phase, item, .. } = &event
                {
                    // Later advances must not be counted before this event.
                    self.advances.remove(&(*phase, item.clone()));
                }
                self.urgent = true;
                self.messages.push(Message::Event(event));
            }
        }
    }

    fn take(&mut self) -> Vec<Message> {
        self.advances.clear();
        self.urgent = false;
        mem::take(&mut self.messages)
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an urgent message, the end, or `interval`. Returns the messages, and true if the
    /// queue was closed.
    fn wait(&self, interval: Duration) -> (Vec<Message>, bool) {
        let idle = |queue: &mut Queue| !queue.urgent && !queue.closed;
        let (mut queue, _) = self
            .wake
            .wait_timeout_while(self.queue(), interval, idle)
            .unwrap_or_else(PoisonError::into_inner);
        (queue.take(), queue.closed)
    }
}

/// A sink that shows events on a separate thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    watch: Stopwatch,
    state: Mutex<State>,
}

enum State {
    Running(JoinHandle<Box<dyn Painter>>),
    /// The thread has ended; only late notes and warnings still come.
    Finished(Box<dyn Painter>),
    /// The thread panicked, and the painter is lost.
    Lost,
}

impl Worker {
    /// Starts the thread. If that fails, returns a sink that prints only warnings and notes.
    pub(super) fn start(painter: Box<dyn Painter>) -> Arc<dyn Sink> {
        let shared = Arc::new(Shared::default());
        let watch = Stopwatch::start();
        let (of_thread, name) = (Arc::clone(&shared), "progress".to_owned());
        match Builder::new()
            .name(name)
            .spawn(move || run(painter, &of_thread, watch))
        {
            Ok(thread) => Arc::new(Self {
                shared,
                watch,
                state: Mutex::new(State::Running(thread)),
            }),
            Err(_) => Arc::new(Quiet),
        }
    }

    fn send(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.shared.queue();
        add(&mut queue);
        if queue.closed {
            // The thread takes nothing from the queue any more, or takes its last messages now.
            drop(queue);
            self.show_rest();
        } else if queue.urgent {
            self.shared.wake.notify_one();
        }
    }

    /// Shows messages that came after the end.
    fn show_rest(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Finished(painter) = &mut *state {
            let now = self.watch.elapsed();
            show(painter.as_mut(), self.shared.queue().take(), now);
        }
    }
}

impl Progress for Worker {
    fn emit(&self, event: Event) {
        self.send(|queue| queue.push(event));
    }
}

impl Sink for Worker {
    fn note(&self, line: &str) {
        self.send(|queue| {
            queue.messages.push(Message::Note(line.to_owned()));
            queue.urgent = true;
        });
    }

    fn finish(&self) {
        self.shared.queue().closed = true;
        self.shared.wake.notify_one();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match mem::replace(&mut *state, State::Lost) {
            State::Running(thread) => thread.join().map_or(State::Lost, State::Finished),
            other => other,
        };
        drop(state);
        self.show_rest();
    }
}

fn run(mut painter: Box<dyn Painter>, shared: &Shared, watch: Stopwatch) -> Box<dyn Painter> {
    loop {
        let (messages, closed) = shared.wait(painter.interval());
        let now = watch.elapsed();
        show(painter.as_mut(), messages, now);
        if closed {
            painter.close(now);
            return painter;
        }
        painter.tick(now);
    }
}

fn show(painter: &mut dyn Painter, messages: Vec<Message>, now: Duration) {
    for message in messages {
        match message {
            Message::Event(event) => painter.event(event, now),
            Message::Note(line) => painter.note(&line, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Recorded, Recorder, advanced, finished, started};
    use super::*;

    fn events(queue: &mut Queue) -> Vec<Event> {
        let events = queue.take().into_iter().map(|message| match message {
            Message::Event(event) => event,
            Message::Note(line) => panic!("{line}"),
        });
        events.collect()
    }

    #[test]
    fn advances_are_merged_and_stay_in_order() {
        let mut queue = Queue::default();
        for event in [
            started("a", 10),
            advanced("a", 1),
            advanced("b", 5),
            advanced("a", 2),
            finished("a", false),
            started("a", 10),
            advanced("a", 4),
            advanced("b", 1),
        ] {
            queue.push(event);
        }
        assert_eq!(
            events(&mut queue),
            [
                started("a", 10),
                advanced("a", 3),
                advanced("b", 6),
                finished("a", false),
                started("a", 10),
                advanced("a", 4),
            ]
        );
        queue.push(advanced("a", 7));
        assert_eq!(events(&mut queue), [advanced("a", 7)]);
    }

    #[test]
    fn only_advances_can_wait() {
        let mut queue = Queue::default();
        queue.push(advanced("a", 1));
        assert!(!queue.urgent);
        queue.push(finished("a", true));
        assert!(queue.urgent);
    }

    #[test]
    fn everything_is_shown_before_the_end_and_notes_after_it() {
        let recorded = Recorded::default();
        let sink = Worker::start(Box::new(Recorder(recorded.clone())));
        std::thread::scope(|scope| {
            for item in ["a", "b", "c"] {
                let sink = &sink;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        sink.emit(advanced(item, 64));
                    }
                });
            }
        });
        sink.note("stopping");
        sink.finish();
        sink.finish();
        sink.note("late");
        let recorded = recorded.lock().unwrap();
        assert_eq!(recorded.advanced, 3 * 1000 * 64);
        assert_eq!(recorded.log, ["stopping", "closed", "late"]);
    }
}
