//! Python's integer object: a value behind a pointer, the small ones shared.

use super::entry::Count;
use alloc::boxed::Box;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Add, Deref, Div, Mul, Neg, Rem, Sub};
use core::ptr::NonNull;

const FIRST: i64 = -5;
const LAST: i64 = 256;
const SMALL: usize = (LAST - FIRST + 1) as usize;

#[derive(Debug)]
struct Object {
    value: i64,
    count: Count,
}

/// The shared objects, -5 to 256.
static SHARED: [Object; SMALL] = {
    let mut objects = [const { Object { value: 0, count: Count::immortal() } }; SMALL];
    let mut at = 0;
    while at < SMALL {
        objects[at].value = FIRST + at as i64;
        at += 1;
    }
    objects
};

/// An integer object as Python has them: -5 to 256 are one immortal object each, others are made
/// anew each time.
///
/// Equality, order and hash are those of the number; [`ptr_eq`](Self::ptr_eq) is Python's `is`. Like
/// every computation that ends in a small number, arithmetic returns the shared object. One word;
/// 16 bytes for each object that is not shared.
///
/// ```
/// use hoopsnake::intern::Int;
///
/// assert!(Int::new(256).ptr_eq(&(Int::new(250) + Int::new(6))));
/// let (a, b) = (Int::new(257), Int::new(257));
/// assert!(a == b && !a.ptr_eq(&b));
/// ```
pub struct Int(NonNull<Object>);

// SAFETY: the value never changes and the count is atomic.
unsafe impl Send for Int {}
// SAFETY: as above.
unsafe impl Sync for Int {}

impl Int {
    /// The object of a number: the shared one from -5 to 256, else a new one.
    ///
    /// Python's `PyLong_FromLongLong`. Costs a range test, or an allocation.
    ///
    /// ```
    /// # use hoopsnake::intern::Int;
    /// assert_eq!(Int::new(10).get(), 10);
    /// ```
    #[inline]
    pub fn new(value: i64) -> Self {
        if (FIRST..=LAST).contains(&value) {
            return Self(NonNull::from(&SHARED[(value - FIRST) as usize]));
        }
        let object = Box::new(Object { value, count: Count::one() });
        Self(NonNull::from(Box::leak(object)))
    }

    fn object(&self) -> &Object {
        // SAFETY: shared objects are static, and others live while a handle has a count.
        unsafe { self.0.as_ref() }
    }

    /// The number.
    ///
    /// Costs a load.
    ///
    /// ```
    /// # use hoopsnake::intern::Int;
    /// assert_eq!(Int::new(-1).get(), -1);
    /// ```
    #[inline]
    pub fn get(&self) -> i64 {
        self.object().value
    }

    /// Whether two handles are of the same object: Python's `is`.
    ///
    /// ```
    /// # use hoopsnake::intern::Int;
    /// assert!(Int::new(7).ptr_eq(&Int::new(7)));
    /// ```
    #[inline]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The object's address: Python's `id()`.
    ///
    /// ```
    /// # use hoopsnake::intern::Int;
    /// assert_eq!(Int::new(7).id(), Int::new(7).id());
    /// ```
    #[inline]
    pub fn id(&self) -> usize {
        self.0.addr().get()
    }
}

impl Clone for Int {
    #[inline]
    fn clone(&self) -> Self {
        self.object().count.increment();
        Self(self.0)
    }
}

impl Drop for Int {
    #[inline]
    fn drop(&mut self) {
        if self.object().count.decrement() {
            // SAFETY: shared objects are immortal, so this one came from `Box::leak`; the last
            // handle is going.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

impl Deref for Int {
    type Target = i64;

    #[inline]
    fn deref(&self) -> &i64 {
        &self.object().value
    }
}

impl PartialEq for Int {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Int {}

impl PartialEq<i64> for Int {
    fn eq(&self, other: &i64) -> bool {
        self.get() == *other
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Self) -> Ordering {
        self.get().cmp(&other.get())
    }
}

impl Hash for Int {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

impl fmt::Debug for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}

impl Default for Int {
    /// Zero.
    fn default() -> Self {
        Self::new(0)
    }
}

impl From<i64> for Int {
    fn from(value: i64) -> Self {
        Self::new(value)
    }
}

impl From<Int> for i64 {
    fn from(value: Int) -> Self {
        value.get()
    }
}

/// Operators on objects, references to them and plain numbers. They overflow as `i64` does.
macro_rules! operators {
    ($($trait:ident $method:ident $op:tt)*) => {$(
        operators!(@ $trait $method $op Int, Int);
        operators!(@ $trait $method $op Int, &Int);
        operators!(@ $trait $method $op &Int, Int);
        operators!(@ $trait $method $op &Int, &Int);

        impl $trait<i64> for Int {
            type Output = Int;

            #[inline]
            fn $method(self, other: i64) -> Int {
                Int::new(self.get() $op other)
            }
        }

        impl $trait<i64> for &Int {
            type Output = Int;

            #[inline]
            fn $method(self, other: i64) -> Int {
                Int::new(self.get() $op other)
            }
        }
    )*};
    (@ $trait:ident $method:ident $op:tt $left:ty, $right:ty) => {
        impl $trait<$right> for $left {
            type Output = Int;

            #[inline]
            fn $method(self, other: $right) -> Int {
                Int::new(self.get() $op other.get())
            }
        }
    };
}

operators! {
    Add add +
    Sub sub -
    Mul mul *
    Div div /
    Rem rem %
}

impl Neg for Int {
    type Output = Int;

    fn neg(self) -> Int {
        Int::new(-self.get())
    }
}

impl Neg for &Int {
    type Output = Int;

    fn neg(self) -> Int {
        Int::new(-self.get())
    }
}
