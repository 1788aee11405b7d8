//! The datagrams that wait for one session.

use std::collections::VecDeque;

use bytes::Bytes;

/// A queue that has its first place in itself.
///
/// Most peers have one datagram waiting at most, and there may be 100,000 of them: they need no memory beside this,
/// neither while they are silent nor for each datagram.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    first: Option<Bytes>,
    /// Empty while there is no first.
    #[expect(
        clippy::box_collection,
        reason = "a queue is 32 bytes, and most peers never have one"
    )]
    others: Option<Box<VecDeque<Bytes>>>,
}

impl Inbox {
    pub(super) fn push(&mut self, datagram: Bytes) {
        if self.first.is_none() {
            self.first = Some(datagram);
        } else {
            self.others.get_or_insert_default().push_back(datagram);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let first = self.first.take()?;
        if let Some(others) = &mut self.others {
            self.first = others.pop_front();
        }
        Some(first)
    }

    /// Gives back what a burst has taken, if nothing waits there any more.
    pub(super) fn shrink(&mut self) {
        if self.others.as_ref().is_some_and(|others| others.is_empty()) {
            self.others = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(number: u8) -> Bytes {
        Bytes::copy_from_slice(&[number])
    }

    #[test]
    fn datagrams_leave_in_the_order_in_which_they_came() {
        let mut inbox = Inbox::default();
        let (mut came, mut left) = (0, 0);
        // It is emptied between bursts, and filled while it is not empty.
        for (coming, leaving) in [(1, 1), (3, 2), (2, 3), (4, 1), (0, 3), (1, 1)] {
            for _ in 0..coming {
                inbox.push(datagram(came));
                came += 1;
            }
            for _ in 0..leaving {
                assert_eq!(inbox.pop(), Some(datagram(left)));
                left += 1;
            }
        }
        assert_eq!(inbox.pop(), None);
        assert_eq!(came, left);
    }

    #[test]
    fn what_a_burst_took_is_given_back_when_nothing_waits_there() {
        let mut inbox = Inbox::default();
        (0..3).for_each(|number| inbox.push(datagram(number)));
        inbox.pop();
        inbox.shrink();
        assert_eq!(inbox.pop(), Some(datagram(1)), "it still waited");
        assert!(inbox.others.is_some());
        inbox.shrink();
        assert!(inbox.others.is_none());
        assert_eq!(inbox.pop(), Some(datagram(2)));
    }
}
