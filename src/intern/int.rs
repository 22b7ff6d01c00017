//! Python's integer object: a value behind a pointer, the small ones shared.
//!
//! -5 to 256 lie in a static. Numbers above, where a type shares those too, lie in segments that are
//! made when first needed and never freed; each is twice as long as the one before.

use super::entry::Count;
use super::fork;
use crate::sync::{Published, RawMutex};
use alloc::boxed::Box;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::iter::{Product, Sum};
use core::num::ParseIntError;
use core::ops::{
    Add, AddAssign, BitAnd, BitAndAssign, BitOr, BitOrAssign, BitXor, BitXorAssign, Deref, Div,
    DivAssign, Mul, MulAssign, Neg, Not, Rem, RemAssign, Shl, ShlAssign, Shr, ShrAssign, Sub,
    SubAssign,
};
use core::ptr::NonNull;
use core::str::FromStr;

const FIRST: i64 = -5;
const LAST_STATIC: i64 = 256;
const SMALL: usize = (LAST_STATIC - FIRST + 1) as usize;

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

/// log2 of the length of the first segment of [`WIDER`].
const FIRST_LOG2: u32 = LAST_STATIC.ilog2();
const SEGMENTS: usize = (i64::BITS - 1 - FIRST_LOG2) as usize;

/// The shared objects above: 257 to 512, 513 to 1024, and so on.
static WIDER: [Published<Segment>; SEGMENTS] = [const { Published::new() }; SEGMENTS];
pub(super) static GROW: RawMutex<()> = RawMutex::new(());

/// Shared objects of numbers that follow each other.
#[derive(Debug)]
struct Segment(Box<[Object]>);

/// The shared object of a number above those of the static.
fn wider(value: i64) -> NonNull<Object> {
    let above = (value - 1) as u64;
    let log2 = above.ilog2();
    let segment = &WIDER[(log2 - FIRST_LOG2) as usize];
    let objects = segment.get().unwrap_or_else(|| make_segment(segment, log2));
    NonNull::from(&objects.0[(above - (1 << log2)) as usize])
}

/// Makes the segment that begins behind `1 << log2`. Allocates without a lock.
#[cold]
fn make_segment(segment: &Published<Segment>, log2: u32) -> &'static Segment {
    let numbers = (1_i64 << log2) + 1..=1 << (log2 + 1);
    let objects = numbers.map(|value| Object { value, count: Count::immortal() });
    let made = NonNull::from(Box::leak(Box::new(Segment(objects.collect()))));
    fork::register();
    let lock = GROW.lock();
    if let Some(objects) = segment.get() {
        drop(lock);
        // SAFETY: leaked above, and shown to nobody.
        drop(unsafe { Box::from_raw(made.as_ptr()) });
        return objects;
    }
    // SAFETY: filled, leaked, and only read from here on.
    unsafe { segment.publish(made) };
    // SAFETY: as above.
    unsafe { made.as_ref() }
}

/// An integer object as Python has them: -5 to 256 are one immortal object each, others are made
/// anew each time.
///
/// [`IntTo`] shares more of them, as Python 3.15 does (`IntTo<1024>`).
pub type Int = IntTo<LAST_STATIC>;

/// An integer object: -5 to `LAST` are one immortal object each, others are made anew each time.
///
/// Equality, order and hash are those of the number; [`ptr_eq`](Self::ptr_eq) is Python's `is`. Like
/// every computation that ends in a small number, arithmetic returns the shared object. It overflows,
/// divides and shifts as `i64` does (Python's `//` and `%` round down instead).
///
/// One word, `Send` and `Sync`; 16 bytes for each object that is not shared. The objects up to 256 are
/// part of the program; those above are shared by all `IntTo` and made in segments when one is first
/// needed: 4 KiB for 257 to 512, 8 KiB for 513 to 1024, and so on, kept for ever.
///
/// ```
/// use hoopsnake::intern::{Int, IntTo};
///
/// assert!(Int::new(256).ptr_eq(&(Int::new(250) + Int::new(6))));
/// let (a, b) = (Int::new(257), Int::new(257));
/// assert!(a == b && !a.ptr_eq(&b));
///
/// assert!(IntTo::<1024>::new(1000).ptr_eq(&(IntTo::new(999) + 1)));
/// ```
pub struct IntTo<const LAST: i64>(NonNull<Object>);

// SAFETY: the value never changes and the count is atomic.
unsafe impl<const LAST: i64> Send for IntTo<LAST> {}
// SAFETY: as above.
unsafe impl<const LAST: i64> Sync for IntTo<LAST> {}

impl<const LAST: i64> IntTo<LAST> {
    /// The object of a number: the shared one from -5 to `LAST`, else a new one.
    ///
    /// Python's `PyLong_FromLongLong`. Costs a range test (and two loads above 256), or an
    /// allocation. `LAST` is at least 256, or the program does not compile.
    ///
    /// # Panics
    /// If memory is refused, [`handle_alloc_error`](alloc::alloc::handle_alloc_error) is called.
    ///
    /// ```
    /// # use hoopsnake::intern::Int;
    /// assert_eq!(Int::new(10).get(), 10);
    /// ```
    #[inline]
    pub fn new(value: i64) -> Self {
        const { assert!(LAST >= LAST_STATIC, "the objects from -5 to 256 are always shared") };
        if (FIRST..=LAST_STATIC).contains(&value) {
            return Self(NonNull::from(&SHARED[(value - FIRST) as usize]));
        }
        if value > LAST_STATIC && value <= LAST {
            return Self(wider(value));
        }
        let object = Box::new(Object { value, count: Count::one() });
        Self(NonNull::from(Box::leak(object)))
    }

    fn object(&self) -> &Object {
        // SAFETY: shared objects live for ever, and others while a handle has a count.
        unsafe { self.0.as_ref() }
    }

    /// The number.
    ///
    /// Python's `PyLong_AsLongLong`. Costs a load.
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
    /// Costs a comparison.
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
    /// Free.
    ///
    /// ```
    /// # use hoopsnake::intern::Int;
    /// assert_eq!(Int::new(7).id(), Int::new(7).id());
    /// ```
    #[inline]
    pub fn id(&self) -> usize {
        self.0.addr().get()
    }

    /// The number of handles; `u32::MAX` for a shared object.
    ///
    /// Python's `sys.getrefcount` (without the argument). Costs a load.
    ///
    /// ```
    /// # use hoopsnake::intern::Int;
    /// let number = Int::new(1000);
    /// let again = number.clone();
    /// assert_eq!(again.strong_count(), 2);
    /// ```
    #[inline]
    pub fn strong_count(&self) -> usize {
        self.object().count.get().unwrap_or(u32::MAX) as usize
    }

    /// Whether the object is shared and lives for ever.
    ///
    /// Python's `sys._is_immortal`. Costs a load.
    ///
    /// ```
    /// # use hoopsnake::intern::{Int, IntTo};
    /// assert!(Int::new(256).is_immortal() && !Int::new(257).is_immortal());
    /// assert!(IntTo::<1024>::new(257).is_immortal());
    /// ```
    #[inline]
    pub fn is_immortal(&self) -> bool {
        self.object().count.is_immortal()
    }
}

/// Arithmetic that says when it overflows, where the operators do as `i64`'s do.
macro_rules! checked {
    ($($name:ident($($other:ident: $ty:ty => $value:expr)?), $does:literal, $example:literal;)*) => {$(
        impl<const LAST: i64> IntTo<LAST> {
            #[doc = concat!($does, ", or `None` if `i64` does not hold the result.")]
            ///
            /// Costs what [`new`](Self::new) costs.
            ///
            /// ```
            /// # use hoopsnake::intern::Int;
            #[doc = $example]
            /// ```
            #[inline]
            pub fn $name(&self $(, $other: $ty)?) -> Option<Self> {
                self.get().$name($($value)?).map(Self::new)
            }
        }
    )*};
}

checked! {
    checked_add(other: &Self => other.get()), "The sum",
        "assert!(Int::new(i64::MAX).checked_add(&Int::new(1)).is_none());";
    checked_sub(other: &Self => other.get()), "The difference",
        "assert_eq!(Int::new(7).checked_sub(&Int::new(1)).unwrap(), 6);";
    checked_mul(other: &Self => other.get()), "The product",
        "assert_eq!(Int::new(7).checked_mul(&Int::new(6)).unwrap(), 42);";
    checked_div(other: &Self => other.get()), "The quotient, rounded towards zero",
        "assert!(Int::new(7).checked_div(&Int::new(0)).is_none());";
    checked_rem(other: &Self => other.get()), "The remainder, with the sign of the dividend",
        "assert_eq!(Int::new(-7).checked_rem(&Int::new(2)).unwrap(), -1);";
    checked_pow(exponent: u32 => exponent), "The power",
        "assert_eq!(Int::new(2).checked_pow(8).unwrap(), 256);";
    checked_neg(), "The negative",
        "assert!(Int::new(i64::MIN).checked_neg().is_none());";
}

impl<const LAST: i64> Clone for IntTo<LAST> {
    /// One more handle: an atomic addition, none for a shared object.
    #[inline]
    fn clone(&self) -> Self {
        // A load here and in `drop` keeps threads from writing to what all of them share.
        let count = &self.object().count;
        if !count.is_immortal() {
            count.increment();
        }
        Self(self.0)
    }
}

impl<const LAST: i64> Drop for IntTo<LAST> {
    #[inline]
    fn drop(&mut self) {
        let count = &self.object().count;
        // The only handle needs no locked instruction to go: nobody can make another.
        if !count.is_immortal() && (count.is_only() || count.decrement()) {
            // SAFETY: shared objects are immortal, so this one came from `Box::leak`; the last
            // handle is going.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

impl<const LAST: i64> Deref for IntTo<LAST> {
    type Target = i64;

    #[inline]
    fn deref(&self) -> &i64 {
        &self.object().value
    }
}

// What the number is ------------------------------------------------------------------------------

impl<const LAST: i64> PartialEq for IntTo<LAST> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<const LAST: i64> Eq for IntTo<LAST> {}

impl<const LAST: i64> PartialEq<i64> for IntTo<LAST> {
    #[inline]
    fn eq(&self, other: &i64) -> bool {
        self.get() == *other
    }
}

impl<const LAST: i64> PartialEq<IntTo<LAST>> for i64 {
    #[inline]
    fn eq(&self, other: &IntTo<LAST>) -> bool {
        *self == other.get()
    }
}

impl<const LAST: i64> PartialOrd for IntTo<LAST> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const LAST: i64> PartialOrd<i64> for IntTo<LAST> {
    #[inline]
    fn partial_cmp(&self, other: &i64) -> Option<Ordering> {
        self.get().partial_cmp(other)
    }
}

impl<const LAST: i64> Ord for IntTo<LAST> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.get().cmp(&other.get())
    }
}

impl<const LAST: i64> Hash for IntTo<LAST> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

/// Lawful: equality, order and hash are those of the number.
impl<const LAST: i64> Borrow<i64> for IntTo<LAST> {
    fn borrow(&self) -> &i64 {
        self
    }
}

impl<const LAST: i64> AsRef<i64> for IntTo<LAST> {
    fn as_ref(&self) -> &i64 {
        self
    }
}

/// Shown as the number is, in all its forms.
macro_rules! shown {
    ($($trait:ident)*) => {$(
        impl<const LAST: i64> fmt::$trait for IntTo<LAST> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::$trait::fmt(&self.get(), f)
            }
        }
    )*};
}

shown! { Debug Display LowerHex UpperHex Octal Binary }

// Conversions -------------------------------------------------------------------------------------

impl<const LAST: i64> Default for IntTo<LAST> {
    /// Zero.
    fn default() -> Self {
        Self::new(0)
    }
}

/// Conversions from what always fits.
macro_rules! from {
    ($($ty:ty)*) => {$(
        impl<const LAST: i64> From<$ty> for IntTo<LAST> {
            #[inline]
            fn from(value: $ty) -> Self {
                Self::new(value.into())
            }
        }
    )*};
}

from! { bool i8 u8 i16 u16 i32 u32 i64 }

impl<const LAST: i64> From<IntTo<LAST>> for i64 {
    #[inline]
    fn from(value: IntTo<LAST>) -> Self {
        value.get()
    }
}

impl<const LAST: i64> From<&IntTo<LAST>> for i64 {
    #[inline]
    fn from(value: &IntTo<LAST>) -> Self {
        value.get()
    }
}

impl<const LAST: i64> FromStr for IntTo<LAST> {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self::new)
    }
}

// Arithmetic --------------------------------------------------------------------------------------

/// Operators on objects, references to them and plain numbers.
macro_rules! operators {
    ($($trait:ident $method:ident $assign:ident $assigns:ident $op:tt)*) => {$(
        operators!(@ $trait $method $op [IntTo<LAST>, IntTo<LAST>] [IntTo<LAST>, &IntTo<LAST>]);
        operators!(@ $trait $method $op [&IntTo<LAST>, IntTo<LAST>] [&IntTo<LAST>, &IntTo<LAST>]);
        operators!(@ $trait $method $op [IntTo<LAST>, i64] [&IntTo<LAST>, i64]);
        operators!(= $assign $assigns $op [IntTo<LAST>] [&IntTo<LAST>] [i64]);
    )*};
    (@ $trait:ident $method:ident $op:tt $([$left:ty, $right:ty])*) => {$(
        impl<const LAST: i64> $trait<$right> for $left {
            type Output = IntTo<LAST>;

            #[inline]
            fn $method(self, other: $right) -> IntTo<LAST> {
                IntTo::new(self.get() $op i64::from(other))
            }
        }
    )*};
    (= $trait:ident $method:ident $op:tt $([$right:ty])*) => {$(
        impl<const LAST: i64> $trait<$right> for IntTo<LAST> {
            #[inline]
            fn $method(&mut self, other: $right) {
                *self = IntTo::new(self.get() $op i64::from(other));
            }
        }
    )*};
}

operators! {
    Add add AddAssign add_assign +
    Sub sub SubAssign sub_assign -
    Mul mul MulAssign mul_assign *
    Div div DivAssign div_assign /
    Rem rem RemAssign rem_assign %
    BitAnd bitand BitAndAssign bitand_assign &
    BitOr bitor BitOrAssign bitor_assign |
    BitXor bitxor BitXorAssign bitxor_assign ^
    Shl shl ShlAssign shl_assign <<
    Shr shr ShrAssign shr_assign >>
}

/// Operators on one object or a reference to it.
macro_rules! signs {
    ($($trait:ident $method:ident $op:tt)*) => {$(
        impl<const LAST: i64> $trait for IntTo<LAST> {
            type Output = Self;

            #[inline]
            fn $method(self) -> Self {
                Self::new($op self.get())
            }
        }

        impl<const LAST: i64> $trait for &IntTo<LAST> {
            type Output = IntTo<LAST>;

            #[inline]
            fn $method(self) -> IntTo<LAST> {
                IntTo::new($op self.get())
            }
        }
    )*};
}

signs! { Neg neg - Not not ! }

impl<const LAST: i64> Sum for IntTo<LAST> {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        Self::new(numbers.map(i64::from).sum())
    }
}

impl<'a, const LAST: i64> Sum<&'a Self> for IntTo<LAST> {
    fn sum<I: Iterator<Item = &'a Self>>(numbers: I) -> Self {
        Self::new(numbers.map(Self::get).sum())
    }
}

impl<const LAST: i64> Product for IntTo<LAST> {
    fn product<I: Iterator<Item = Self>>(numbers: I) -> Self {
        Self::new(numbers.map(i64::from).product())
    }
}

impl<'a, const LAST: i64> Product<&'a Self> for IntTo<LAST> {
    fn product<I: Iterator<Item = &'a Self>>(numbers: I) -> Self {
        Self::new(numbers.map(Self::get).product())
    }
}
