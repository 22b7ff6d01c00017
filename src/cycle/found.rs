//! The objects that a walk has found, with a number for each.
//!
//! Not their trial counters: those of old objects have no memory between runs, and a page fault for almost each
//! object that is found would be most of what a walk costs.

use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::object::ObjectRef;

/// Objects with a number each.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order in which they were found.
    objects: Vec<ObjectRef>,
    numbers: HashTable<(ObjectRef, u32)>,
}

impl Found {
    /// All of them, in the order in which they were found.
    pub(super) fn objects(&self) -> &[ObjectRef] {
        &self.objects
    }

    /// The number of an object, if it was found.
    #[inline]
    pub(super) fn number(&mut self, object: ObjectRef) -> Option<&mut u32> {
        let found = self.numbers.find_mut(hash(object), |(other, _)| *other == object);
        found.map(|(_, number)| number)
    }

    /// Adds an object that was not found yet. False without memory.
    pub(super) fn add(&mut self, object: ObjectRef, number: u32) -> bool {
        if self.numbers.try_reserve(1, |(other, _)| hash(*other)).is_err()
            || self.objects.try_reserve(1).is_err()
        {
            return false;
        }
        self.objects.push(object);
        self.numbers.insert_unique(hash(object), (object, number), |(other, _)| hash(*other));
        true
    }
}

#[inline]
fn hash(object: ObjectRef) -> u64 {
    FixedState::default().hash_one(object.address().addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::header::Header;
    use core::ptr::NonNull;

    #[test]
    fn numbers_stay_with_their_objects() {
        let headers: Vec<_> = (0..5000).map(|_| Header::new(1, 0)).collect();
        // SAFETY: nothing but the address is used of it.
        let object =
            |i: usize| unsafe { ObjectRef::from_header(NonNull::from(&headers[i]).cast()) };
        let mut found = Found::default();
        for i in (0..headers.len()).step_by(2) {
            assert_eq!(found.number(object(i)), None);
            assert!(found.add(object(i), i as u32));
        }
        for i in 0..headers.len() {
            let number = found.number(object(i)).map(|number| *number);
            assert_eq!(number, i.is_multiple_of(2).then_some(i as u32));
        }
        assert_eq!(found.objects().len(), headers.len() / 2);
        *found.number(object(8)).unwrap() = 0;
        assert_eq!(found.number(object(8)), Some(&mut 0));
    }
}
