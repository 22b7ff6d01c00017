//! The objects that a walk has found, with a number for each: a hash table by address.
//!
//! Not their trial counters: those of old objects have no memory between runs, and a page fault for almost each
//! object that is found would be most of what a walk costs.

use crate::object::ObjectRef;

/// Places of the smallest table.
const SMALLEST: usize = 1 << 10;

/// Objects with a number each.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order in which they were found.
    objects: Vec<ObjectRef>,
    /// Each in the first free place from that of its hash on. Half of a power of two is free.
    table: Vec<Option<(ObjectRef, u32)>>,
}

impl Found {
    /// All of them, in the order in which they were found.
    pub(super) fn objects(&self) -> &[ObjectRef] {
        &self.objects
    }

    /// The number of an object, if it was found.
    #[inline]
    pub(super) fn number(&mut self, object: ObjectRef) -> Option<&mut u32> {
        if self.table.is_empty() {
            return None;
        }
        let place = self.place(object);
        self.table[place].as_mut().map(|(_, number)| number)
    }

    /// Adds an object that was not found yet. False without memory.
    pub(super) fn add(&mut self, object: ObjectRef, number: u32) -> bool {
        let room = self.objects.len() * 2 < self.table.len() || self.grow();
        if !room || self.objects.try_reserve(1).is_err() {
            return false;
        }
        self.objects.push(object);
        let place = self.place(object);
        self.table[place] = Some((object, number));
        true
    }

    /// Where an object is, or would be.
    #[inline]
    fn place(&self, object: ObjectRef) -> usize {
        let last = self.table.len() - 1;
        let hash = (object.address().addr().get() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut place = (hash >> 32) as usize & last;
        while let Some((other, _)) = self.table[place]
            && other != object
        {
            place = (place + 1) & last;
        }
        place
    }

    /// Doubles the table. False without memory.
    fn grow(&mut self) -> bool {
        let size = (self.table.len() * 2).max(SMALLEST);
        let mut table = Vec::new();
        if table.try_reserve_exact(size).is_err() {
            return false;
        }
        table.resize(size, None);
        for (object, number) in core::mem::replace(&mut self.table, table).into_iter().flatten() {
            let place = self.place(object);
            self.table[place] = Some((object, number));
        }
        true
    }
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
