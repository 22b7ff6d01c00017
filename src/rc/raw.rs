//! The strong pointer: birth, deref, clone, drop.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use std::alloc::handle_alloc_error;

use super::policy::{Local, Policy};
use super::weak::RawWeak;
use crate::cycle;
use crate::heap::object_pool::{ObjectClass, ObjectHeap};
use crate::object::ObjectRef;
use crate::object::header::{self, BORN_TRACED, FINALIZABLE};
use crate::object::side;
use crate::object::trace::{Trace, TraceInfo, Tracer};
use crate::object::vtable;

/// A counted pointer whose cycles are collected. See [`Cc`](crate::Cc), its form for one thread.
///
/// ```
/// use hoopsnake::{Cc, Local, RawCc};
/// let one: RawCc<str, Local> = Cc::from("one");
/// assert_eq!(&*one, "one");
/// ```
pub struct RawCc<T: ?Sized, P: Policy> {
    value: NonNull<T>,
    _owns: PhantomData<(P, T)>,
}

/// What is known of the objects of a type before they are born.
pub(super) struct Kind<T>(PhantomData<T>);

impl<T: TraceInfo> Kind<T> {
    /// Objects with a finalizer are traced even if they have no edges: a run calls the finalizers of its
    /// garbage, and of all that only garbage holds, before it drops anything.
    const TRACED: bool = T::NEEDS_TRACE || T::FINALIZE.is_some();
    const FLAGS: u32 = if Self::TRACED { BORN_TRACED } else { 0 }
        | if T::FINALIZE.is_some() { FINALIZABLE } else { 0 };
    const CLASS: ObjectClass = match ObjectClass::new(Layout::new::<T>(), Self::TRACED) {
        Some(class) => class,
        None => panic!("the type is too large or too aligned"),
    };

    /// A block for an object.
    #[inline(always)]
    fn allocate() -> ObjectRef {
        allocate(Self::CLASS, Layout::new::<T>())
    }

    /// The object may become visible to the collector: that begins with its first handle.
    #[inline(always)]
    fn register(object: ObjectRef) {
        if Self::TRACED {
            // SAFETY: allocated for a traced class; the table is static.
            unsafe { object.set_vtable(NonNull::from(vtable::of::<T>())) };
        }
    }
}

/// A block, or the end of the program.
#[inline(always)]
pub(super) fn allocate(class: ObjectClass, layout: Layout) -> ObjectRef {
    match ObjectHeap::current().alloc(class) {
        // SAFETY: the count word of a block of counted objects.
        Some(header) => unsafe { ObjectRef::from_header(header) },
        None => out_of_memory(layout.size(), layout.align()),
    }
}

/// The end of the program. It does not unwind: see `alloc_slow`.
#[cold]
#[inline(never)]
extern "C" fn out_of_memory(size: usize, align: usize) -> ! {
    // A layout's parts.
    handle_alloc_error(Layout::from_size_align(size, align).unwrap_or(Layout::new::<()>()))
}

/// After the birth of a traced object: runs the collector when it is time.
#[inline(always)]
pub(super) fn poll<H>(handle: H) -> H {
    if cycle::is_due(ObjectHeap::current().countdown().get()) { run_with(handle) } else { handle }
}

/// Runs the collector, and drops the handle if that panics: here, so that a birth needs to be ready for nothing.
#[cold]
#[inline(never)]
fn run_with<H>(handle: H) -> H {
    cycle::due();
    handle
}

impl<T: TraceInfo> RawCc<T, Local> {
    /// Makes an object with one handle.
    ///
    /// Costs a few instructions more than filling a free block; every 10,000 net new objects with edges
    /// a run of the collector begins here, which may call finalizers and drop garbage.
    ///
    /// # Panics
    /// With the first panic of the finalizers, drops and `trace`s of a run that begins here; the new object
    /// is dropped then.
    ///
    /// ```
    /// let greeting = hoopsnake::Cc::new("hello".to_string());
    /// assert_eq!(greeting.len(), 5);
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn new(value: T) -> Self {
        let cc = Self::birth(value);
        if Kind::<T>::TRACED { poll(cc) } else { cc }
    }

    /// [`new`](Self::new) that never runs the collector, and so never panics.
    #[inline(always)]
    pub(super) fn birth(value: T) -> Self {
        let object = Kind::<T>::allocate();
        // SAFETY: a block for a `T` that nobody knows of.
        unsafe { object.value::<T>().write(value) };
        Kind::<T>::register(object);
        object.header().set_word(header::live(Kind::<T>::FLAGS));
        // SAFETY: the one handle of its count.
        unsafe { Self::from_object(object.value()) }
    }

    /// Makes an object that can hold a [`Weak`](crate::Weak) to itself.
    ///
    /// The weak handle does not upgrade before this returns. Costs as [`new`](Self::new).
    ///
    /// # Panics
    /// If `make` does; nothing is left then.
    ///
    /// ```
    /// use hoopsnake::{Cc, Trace, TraceInfo, Tracer, Weak};
    /// struct Widget { me: Weak<Widget> }
    /// // SAFETY: a weak handle is no edge.
    /// unsafe impl Trace for Widget { fn trace(&self, _: &mut Tracer<'_>) {} }
    /// impl TraceInfo for Widget {}
    ///
    /// let widget = Cc::new_cyclic(|me| Widget { me: me.clone() });
    /// assert!(Cc::ptr_eq(&widget, &widget.me.upgrade().unwrap()));
    /// ```
    pub fn new_cyclic(make: impl FnOnce(&RawWeak<T, Local>) -> T) -> Self {
        let object = Kind::<T>::allocate();
        object.header().set_word(header::unborn(Kind::<T>::FLAGS));
        // SAFETY: the one weak handle of its count.
        let weak = unsafe { RawWeak::from_object(object.value::<T>()) };
        let value = make(&weak);
        // SAFETY: unborn: weak handles do not upgrade, so nobody looks at it.
        unsafe { object.value::<T>().write(value) };
        Kind::<T>::register(object);
        object.header().increment();
        // SAFETY: the one handle of its count.
        let cc = unsafe { Self::from_object(object.value()) };
        if !Kind::<T>::TRACED {
            return cc;
        }
        side::note_young(object);
        poll(cc)
    }
}

impl<T: ?Sized, P: Policy> RawCc<T, P> {
    /// A handle from its pointer.
    ///
    /// # Safety
    /// `value` is an object of this policy, and its count includes this handle.
    #[inline(always)]
    pub(super) unsafe fn from_object(value: NonNull<T>) -> Self {
        RawCc { value, _owns: PhantomData }
    }

    /// The object.
    #[inline(always)]
    pub(super) fn object(this: &Self) -> ObjectRef {
        // SAFETY: the handle keeps it alive.
        unsafe { ObjectRef::of(this.value) }
    }

    /// The value's address, with the right to write that its exclusive owner has.
    #[inline(always)]
    pub(super) fn address(this: &Self) -> NonNull<T> {
        this.value
    }

    /// Whether both handles lead to the same object: Python's `is`. One comparison of addresses.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let (a, b) = (Cc::new(1), Cc::new(1));
    /// assert!(a == b && !Cc::ptr_eq(&a, &b) && Cc::ptr_eq(&a, &a.clone()));
    /// ```
    #[inline]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        core::ptr::addr_eq(this.value.as_ptr(), other.value.as_ptr())
    }

    /// The object's identity: its address, Python's `id()`. Unique among the objects alive, also among
    /// those of size zero, and never changed by the collector. Free.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let unit = Cc::new(());
    /// assert_ne!(Cc::id(&unit), Cc::id(&Cc::new(())));
    /// ```
    #[inline]
    pub fn id(this: &Self) -> usize {
        this.value.cast::<u8>().addr().get()
    }

    /// A pointer to the value, valid while a handle is there. Free.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let cc = Cc::new(7);
    /// assert_eq!(Cc::as_ptr(&cc), &raw const *cc);
    /// ```
    #[inline]
    pub fn as_ptr(this: &Self) -> *const T {
        this.value.as_ptr()
    }

    /// The number of handles: `sys.getrefcount` without its argument. 2^31 for an immortal object. One load.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// let b = a.clone();
    /// assert_eq!(Cc::strong_count(&b), 2);
    /// ```
    #[inline]
    pub fn strong_count(this: &Self) -> usize {
        Self::object(this).header().strong() as usize
    }

    /// The number of [`Weak`](crate::Weak) handles; it saturates at 2^22 − 1. One load.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// let weak = Cc::downgrade(&a);
    /// assert_eq!(Cc::weak_count(&a), 1);
    /// ```
    #[inline]
    pub fn weak_count(this: &Self) -> usize {
        Self::object(this).header().weak() as usize
    }

    /// A handle that does not keep the object alive: `weakref.ref`. One store.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let a = Cc::new(1);
    /// let weak = Cc::downgrade(&a);
    /// drop(a);
    /// assert!(weak.upgrade().is_none());
    /// ```
    #[inline]
    #[must_use]
    pub fn downgrade(this: &Self) -> RawWeak<T, P> {
        P::increment_weak(Self::object(this));
        // SAFETY: just counted.
        unsafe { RawWeak::from_object(this.value) }
    }

    /// Turns the handle into a pointer; [`from_raw`](Self::from_raw) turns it back. Free.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let raw = Cc::into_raw(Cc::new(3));
    /// // SAFETY: from `into_raw`, once.
    /// assert_eq!(*unsafe { Cc::from_raw(raw) }, 3);
    /// ```
    #[inline]
    #[must_use = "the object leaks if the pointer is not turned back"]
    pub fn into_raw(this: Self) -> *const T {
        ManuallyDrop::new(this).value.as_ptr()
    }

    /// The handle that [`into_raw`](Self::into_raw) made a pointer of. Free.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same pointer type, on this thread, and is turned back once. Its type may
    /// have been unsized in between, to a trait object of the value's.
    ///
    /// ```
    /// # use hoopsnake::Cc;
    /// # let raw = Cc::into_raw(Cc::new(3));
    /// // SAFETY: from `into_raw`, once.
    /// let cc = unsafe { Cc::from_raw(raw) };
    /// # assert_eq!(*cc, 3);
    ///
    /// // An object behind a trait.
    /// let raw = Cc::into_raw(cc) as *const dyn std::fmt::Display;
    /// // SAFETY: as above.
    /// let shown: Cc<dyn std::fmt::Display> = unsafe { Cc::from_raw(raw) };
    /// assert_eq!(shown.to_string(), "3");
    /// ```
    #[inline]
    pub unsafe fn from_raw(raw: *const T) -> Self {
        // SAFETY: a handle's pointer, which is never null.
        let value = unsafe { NonNull::new_unchecked(raw.cast_mut()) };
        // SAFETY: `into_raw` left its count to us.
        unsafe { Self::from_object(value) }
    }

    /// Whether the object's finalizer has run: `gc.is_finalized`. One load.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// assert!(!Cc::is_finalized(&Cc::new(1)));
    /// ```
    #[inline]
    pub fn is_finalized(this: &Self) -> bool {
        Self::object(this).header().is_finalized()
    }

    /// Makes the object live as long as the process (PEP 683): its count no longer changes, and what it
    /// reaches stays alive too. One store.
    ///
    /// ```
    /// use hoopsnake::Cc;
    /// let one = Cc::new(1);
    /// Cc::immortalize(&one);
    /// let count = Cc::strong_count(&one);
    /// assert_eq!(Cc::strong_count(&one.clone()), count);
    /// ```
    pub fn immortalize(this: &Self) {
        Self::object(this).header().immortalize();
    }
}

impl<T: ?Sized, P: Policy> Clone for RawCc<T, P> {
    /// One more handle to the same object: an addition and a test.
    #[inline(always)]
    fn clone(&self) -> Self {
        P::increment(Self::object(self));
        // SAFETY: just counted.
        unsafe { Self::from_object(self.value) }
    }
}

impl<T: ?Sized, P: Policy> Drop for RawCc<T, P> {
    /// One handle less: a subtraction and a test. The last one finalizes and drops the value.
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this handle was counted and is not used again.
        unsafe { P::drop(self.value) }
    }
}

impl<T: ?Sized, P: Policy> Deref for RawCc<T, P> {
    type Target = T;

    /// The pointer itself. No liveness is checked: see the layer's documentation for why.
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the handle keeps the value alive; `&mut` is only given to the only handle's owner.
        unsafe { self.value.as_ref() }
    }
}

// SAFETY: one handle is one edge, reported once; no user code.
unsafe impl<T: ?Sized + 'static> Trace for RawCc<T, Local> {
    #[inline(always)]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        tracer.edge(Self::object(self));
    }
}

// Also where `T` has no edges: the answer must not depend on `T`, or recursive types would not compile.
impl<T: ?Sized + 'static> TraceInfo for RawCc<T, Local> {}
