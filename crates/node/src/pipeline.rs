//! Answers leave a connection in the order its requests came, though the work overlaps.
//!
//! Invariant: an entry is handed out only after every entry with a smaller sequence was handed out or skipped.

use std::collections::VecDeque;

/// The answers of one connection that wait for their turn.
#[derive(Debug)]
pub struct Pipeline<T> {
    /// Sequence of the front entry of `waiting`.
    next: u64,
    waiting: VecDeque<Slot<T>>,
}

#[derive(Debug)]
enum Slot<T> {
    /// The request is still being worked on.
    Open,
    /// The request wants no answer (produce with `acks=0`).
    Skipped,
    Answer(T),
}

impl<T> Default for Pipeline<T> {
    fn default() -> Self {
        Self { next: 0, waiting: VecDeque::new() }
    }
}

impl<T> Pipeline<T> {
    /// A request was read; its answer goes to the returned sequence.
    pub fn open(&mut self) -> u64 {
        self.waiting.push_back(Slot::Open);
        self.next + self.waiting.len() as u64 - 1
    }

    /// Requests read and not yet handed out; what a cap on pipelining counts.
    pub fn depth(&self) -> usize {
        self.waiting.len()
    }

    /// The answer of request `sequence`, or `None` where it wants none.
    ///
    /// # Panics
    /// If that request was never opened or has its answer already: a bug of ours.
    pub fn fill(&mut self, sequence: u64, answer: Option<T>) {
        let index = sequence.checked_sub(self.next).and_then(|index| usize::try_from(index).ok());
        let slot = index.and_then(|index| self.waiting.get_mut(index));
        match slot {
            Some(slot @ Slot::Open) => *slot = answer.map_or(Slot::Skipped, Slot::Answer),
            _ => panic!("answer for request {sequence}, which is not open; the next is {}", self.next),
        }
    }

    /// The next answer whose turn it is.
    pub fn pop_ready(&mut self) -> Option<T> {
        loop {
            match self.waiting.front()? {
                Slot::Open => return None,
                Slot::Skipped | Slot::Answer(_) => {}
            }
            self.next += 1;
            if let Some(Slot::Answer(answer)) = self.waiting.pop_front() {
                return Some(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_wait_for_those_before_them() {
        let mut pipeline = Pipeline::default();
        let [first, second, third] = [pipeline.open(), pipeline.open(), pipeline.open()];
        pipeline.fill(third, Some("third"));
        pipeline.fill(second, None);
        assert_eq!(pipeline.pop_ready(), None);
        pipeline.fill(first, Some("first"));
        assert_eq!(pipeline.pop_ready(), Some("first"));
        assert_eq!(pipeline.pop_ready(), Some("third"));
        assert_eq!(pipeline.pop_ready(), None);
        assert_eq!((pipeline.depth(), pipeline.open()), (0, 3));
    }

    #[test]
    #[should_panic(expected = "not open")]
    fn a_second_answer_is_a_bug() {
        let mut pipeline = Pipeline::default();
        pipeline.open();
        pipeline.fill(0, Some(1));
        pipeline.fill(0, Some(2));
    }
}
