//! Model of `sync::published`: a value is filled, published and read.
//!
//! Tried, each fails: publishing Relaxed, reading Relaxed (the value is read unordered).
#![cfg(loom)]

use core::ptr::NonNull;
use hoopsnake::model::Published;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;

#[test]
fn who_finds_it_finds_it_filled() {
    explore("publish, two readers", None, || {
        let place = Arc::new(Published::<UnsafeCell<u32>>::new());
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let place = place.clone();
                thread::spawn(move || {
                    if let Some(value) = place.get() {
                        // SAFETY: nobody writes a published value; loom checks it.
                        assert_eq!(value.with(|value| unsafe { *value }), 7);
                    }
                })
            })
            .collect();
        let value = Box::leak(Box::new(UnsafeCell::new(0)));
        // SAFETY: nobody knows of the value yet.
        value.with_mut(|value| unsafe { *value = 7 });
        // SAFETY: the value is filled and leaked.
        unsafe { place.publish(NonNull::from(&mut *value)) };
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// Two threads publish without a lock: both see the same value from then on, and see it filled. Tried, each fails:
/// a store instead of the exchange, a Relaxed exchange.
#[test]
fn the_first_value_stays() {
    explore("the first value stays", None, || {
        let place = Arc::new(Published::<UnsafeCell<u32>>::new());
        let publish = |value: u32, place: Arc<Published<UnsafeCell<u32>>>| {
            let cell = Box::leak(Box::new(UnsafeCell::new(0)));
            // SAFETY: nobody knows of the value yet.
            cell.with_mut(|at| unsafe { *at = value });
            // SAFETY: the value is filled and leaked.
            unsafe { place.publish_first(NonNull::from(&*cell)) };
            let first = place.get().unwrap();
            // SAFETY: nobody writes a published value; loom checks it.
            first.with(|at| assert_ne!(unsafe { *at }, 0));
            core::ptr::from_ref(first) as usize
        };
        let other = {
            let place = place.clone();
            thread::spawn(move || publish(1, place))
        };
        let mine = publish(2, place.clone());
        assert_eq!(mine, other.join().unwrap());
    });
}
