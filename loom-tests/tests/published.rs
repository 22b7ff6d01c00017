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
