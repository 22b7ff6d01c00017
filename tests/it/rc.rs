//! Counting: cases R, W, S of python.md, X17, X18, and `Rc`'s interface.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use hoopsnake::{Cc, Untraced, Weak, gc};

use crate::support::{Drops, Node, fresh, ring};

#[test]
fn r01_count_follows_names() {
    let x = Cc::new(1);
    assert_eq!(Cc::strong_count(&x), 1);
    let y = x.clone();
    assert_eq!(Cc::strong_count(&x), 2);
    drop(y);
    assert_eq!(Cc::strong_count(&x), 1);
}

#[test]
fn r02_containers_hold_references() {
    let x = Cc::new(1);
    let list = vec![x.clone(), x.clone()];
    assert_eq!(Cc::strong_count(&x), 3);
    drop(list);
    assert_eq!(Cc::strong_count(&x), 1);
}

#[test]
fn r03_count_zero_frees_at_once() {
    fresh();
    let drops = Drops::default();
    drop(Cc::new(drops.probe()));
    drop(Node::counted(0, &drops));
    assert_eq!(drops.count(), 2, "leaf and node, without the collector");
}

#[test]
fn r04_rebinding_releases_the_old_object() {
    let drops = Drops::default();
    let slot = RefCell::new(Some(Cc::new(drops.probe())));
    let old = slot.replace(None);
    assert_eq!(drops.count(), 0);
    drop(old);
    assert_eq!(drops.count(), 1);
}

#[test]
fn r05_aliasing() {
    let a = Cc::new(RefCell::new(vec![1, 2, 3]));
    let b = a.clone();
    b.borrow_mut().push(4);
    assert_eq!(*a.borrow(), [1, 2, 3, 4]);
    assert_eq!(Cc::id(&a), Cc::id(&b));
}

#[test]
fn r06_is_and_equals() {
    let (a, b) = (Cc::new(vec![1]), Cc::new(vec![1]));
    assert!(a == b && !Cc::ptr_eq(&a, &b));
}

#[test]
fn r07_ids_of_live_objects_are_distinct() {
    let live: Vec<_> = (0..10_000).map(Cc::new).collect();
    let units: Vec<_> = (0..1000).map(|_| Cc::new(())).collect();
    let ids: HashSet<_> = live.iter().map(Cc::id).chain(units.iter().map(Cc::id)).collect();
    assert_eq!(ids.len(), 11_000);
}

#[test]
fn r08_an_id_comes_back_after_free() {
    let ids: HashSet<_> = (0..1000).map(|i: u64| Cc::id(&Cc::new(i))).collect();
    assert!(ids.len() <= 256, "one page of blocks is used round and round: {}", ids.len());
    fresh();
    let ids: HashSet<_> = (0..1000).map(|i| Cc::id(&Node::new(i))).collect();
    assert!(ids.len() <= 256, "{} places", ids.len());
}

#[test]
fn r09_objects_do_not_move() {
    fresh();
    let nodes = ring(100);
    let ids = || nodes.iter().map(Cc::id).collect::<Vec<_>>();
    let before = ids();
    for _ in 0..3 {
        gc::collect();
        assert_eq!(ids(), before);
    }
}

#[test]
fn r10_unwinding_releases_locals() {
    let x = Cc::new(1);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _local = [x.clone(), x.clone()];
        panic!("expected");
    }));
    assert!(result.is_err());
    assert_eq!(Cc::strong_count(&x), 1);
}

#[test]
fn r11_a_cycle_keeps_its_count() {
    fresh();
    let node = Node::new(0);
    node.link(&node);
    assert_eq!(Cc::strong_count(&node), 2);
    let weak = Cc::downgrade(&node);
    drop(node);
    assert!(weak.upgrade().is_some());
    assert_eq!(gc::collect(), 1);
    assert!(weak.upgrade().is_none());
}

#[test]
fn r12_immortal_objects_do_not_count() {
    fresh();
    let drops = Drops::default();
    let node = Node::counted(0, &drops);
    let child = Node::counted(1, &drops);
    node.link(&child);
    Cc::immortalize(&node);
    let count = Cc::strong_count(&node);
    let clones: Vec<_> = (0..10).map(|_| node.clone()).collect();
    assert_eq!(Cc::strong_count(&node), count);
    drop(clones);
    assert_eq!(Cc::strong_count(&node), count);
    let weak = Cc::downgrade(&node);
    drop(node);
    drop(child);
    gc::collect();
    assert_eq!(drops.count(), 0, "nor does what it holds die");
    assert_eq!(weak.upgrade().map(|node| node.edges.borrow().len()), Some(1));
}

/// The probe of `anchors.md` that panics where a count has 14 bits.
#[test]
fn a_hundred_thousand_clones() {
    fresh();
    let drops = Drops::default();
    let (node, leaf) = (Node::counted(0, &drops), Cc::new(drops.probe()));
    let clones: Vec<_> = (0..100_000).map(|_| (node.clone(), leaf.clone())).collect();
    assert_eq!((Cc::strong_count(&node), Cc::strong_count(&leaf)), (100_001, 100_001));
    assert_eq!(gc::collect(), 0);
    drop((node, leaf));
    assert_eq!((drops.count(), clones[99_999].0.id), (0, 0));
    drop(clones);
    assert_eq!(drops.count(), 2);
}

#[test]
fn r13_drop_order() {
    struct Named(&'static str, Untraced<Cc<RefCell<Vec<&'static str>>>>);
    impl Drop for Named {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    crate::support::trace!(Named {});
    struct Outer {
        _first: Cc<Named>,
        _name: Named,
        _items: Vec<Cc<Named>>,
    }
    crate::support::trace!(Outer { _first, _items });
    let log = Cc::new(RefCell::new(Vec::new()));
    let named = |name| Named(name, Untraced(log.clone()));
    let items = vec![Cc::new(named("item 0")), Cc::new(named("item 1"))];
    drop(Cc::new(Outer { _first: Cc::new(named("first")), _name: named("outer"), _items: items }));
    assert_eq!(*log.borrow(), ["first", "outer", "item 0", "item 1"], "as with `Rc`");
}

/// What holds each other, in all kinds of places, is dropped from the inside out.
#[test]
fn r13_drop_order_of_what_is_nested() {
    type Log = Cc<RefCell<Vec<usize>>>;
    struct Named(usize, Untraced<Log>);
    impl Drop for Named {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    crate::support::trace!(Named {});
    struct Outer {
        _optional: Option<Cc<Outer>>,
        _items: Vec<Cc<Outer>>,
        _boxed: Box<RefCell<Option<Cc<Outer>>>>,
        _name: Named,
    }
    crate::support::trace!(Outer { _optional, _items, _boxed });
    /// A sanitizer makes the frames larger, and fewer fit where deaths nest.
    const LEVELS: usize = if cfg!(sanitized) { 3 } else { 6 };
    for old in [false, true] {
        let log = Log::default();
        let mut top = None;
        for level in 0..LEVELS {
            let mut inner = [None, None, None];
            inner[level % 3] = top;
            let [_optional, items, boxed] = inner;
            let _name = Named(level, Untraced(log.clone()));
            let (_items, _boxed) = (items.into_iter().collect(), Box::new(boxed.into()));
            top = Some(Cc::new(Outer { _optional, _items, _boxed, _name }));
        }
        if old {
            gc::collect();
        }
        drop(top);
        assert_eq!(*log.borrow(), (0..LEVELS).collect::<Vec<_>>(), "as with `Rc`");
    }
}

#[test]
fn w01_basic() {
    let object = Cc::new(5);
    let weak = Cc::downgrade(&object);
    assert!(weak.upgrade().is_some_and(|same| Cc::ptr_eq(&same, &object)));
    drop(object);
    assert!(weak.upgrade().is_none());
    assert!(weak.clone().upgrade().is_none());
}

#[test]
fn w02_a_weak_handle_does_not_count() {
    let object = Node::new(0);
    let weak = Cc::downgrade(&object);
    assert_eq!((Cc::strong_count(&object), Cc::weak_count(&object)), (1, 1));
    assert_eq!((weak.strong_count(), weak.weak_count()), (1, 1));
    drop(object);
    assert_eq!((weak.strong_count(), weak.weak_count()), (0, 0));
}

/// A block with weak handles is not used for another object.
#[test]
fn w02_a_weak_handle_keeps_the_block() {
    let weaks: Vec<_> = (0..100u64).map(|i| Cc::downgrade(&Cc::new(i))).collect();
    let others: Vec<_> = (0..100u64).map(Cc::new).collect();
    for weak in &weaks {
        assert!(weak.upgrade().is_none());
        assert!(others.iter().all(|other| Cc::as_ptr(other) != weak.as_ptr()));
    }
}

#[test]
fn s01_locals_go_when_the_function_ends() {
    fn frame() -> [Weak<Vec<u8>>; 2] {
        let (a, b) = (Cc::new(vec![1]), Cc::new(vec![2]));
        [Cc::downgrade(&a), Cc::downgrade(&b)]
    }
    assert!(frame().iter().all(|weak| weak.upgrade().is_none()));
}

#[test]
fn s02_a_returned_object_outlives_the_frame() {
    fn frame() -> Cc<String> {
        let local = Cc::new("kept".to_string());
        local.clone()
    }
    let object = frame();
    assert_eq!((object.as_str(), Cc::strong_count(&object)), ("kept", 1));
}

#[test]
fn s03_ten_references_to_one_object() {
    let zero = Cc::new(0);
    let list = Cc::new(vec![zero.clone(); 10]);
    assert!(list.iter().all(|item| Cc::ptr_eq(item, &zero)));
    assert_eq!(Cc::strong_count(&zero), 11);
    drop(list);
    assert_eq!(Cc::strong_count(&zero), 1);
}

#[test]
fn s04_a_variable_is_a_reference() {
    assert_eq!(size_of::<Cc<[u64; 100]>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Cc<u8>>>(), size_of::<usize>());
    assert_eq!(size_of::<Weak<u8>>(), size_of::<usize>());
}

#[test]
fn x18_handles_stay_on_their_thread() {
    // Ambiguous, and so no compile, if the type has the auto trait.
    trait Unless<A> {
        fn check() {}
    }
    impl<T: ?Sized> Unless<()> for T {}
    struct HasSend;
    impl<T: ?Sized + Send> Unless<HasSend> for T {}
    struct HasSync;
    impl<T: ?Sized + Sync> Unless<HasSync> for T {}
    <Cc<u8> as Unless<_>>::check();
    <Weak<u8> as Unless<_>>::check();
    <hoopsnake::Dying<'static, u8> as Unless<_>>::check();
}

#[test]
fn exclusive_access_as_with_rc() {
    let mut a = Cc::new(1);
    *Cc::get_mut(&mut a).expect("alone") += 1;
    let weak = Cc::downgrade(&a);
    assert!(Cc::get_mut(&mut a).is_none(), "a weak handle could be upgraded");
    let id = Cc::id(&a);
    *Cc::make_mut(&mut a) += 1;
    assert!(weak.upgrade().is_none(), "moved away from its weak handle");
    assert_ne!(Cc::id(&a), id);
    assert_eq!(*a, 3);
    let b = a.clone();
    *Cc::make_mut(&mut a) += 1;
    assert_eq!((*a, *b), (4, 3));
    assert_eq!(Cc::try_unwrap(a), Ok(4));
    assert_eq!(Cc::into_inner(b), Some(3));
}

#[test]
fn try_unwrap_moves_traced_values_out() {
    fresh();
    let drops = Drops::default();
    let node = Node::counted(7, &drops);
    let weak = Cc::downgrade(&node);
    let value = Cc::try_unwrap(node).ok().expect("the only handle");
    assert!(weak.upgrade().is_none());
    assert_eq!((value.id, drops.count()), (7, 0));
    assert_eq!(gc::collect(), 0);
    drop(value);
    assert_eq!(drops.count(), 1);
}

#[test]
fn new_cyclic_gives_a_weak_handle_to_itself() {
    struct Widget {
        me: Weak<Widget>,
        early: bool,
    }
    crate::support::trace!(Widget {});
    let widget = Cc::new_cyclic(|me| Widget { me: me.clone(), early: me.upgrade().is_some() });
    assert!(!widget.early);
    assert_eq!((Cc::strong_count(&widget), Cc::weak_count(&widget)), (1, 1));
    assert!(widget.me.upgrade().is_some_and(|me| Cc::ptr_eq(&me, &widget)));
    let weak = widget.me.clone();
    drop(widget);
    assert!(weak.upgrade().is_none());

    let kept = Cell::new(None);
    let result = catch_unwind(AssertUnwindSafe(|| {
        Cc::new_cyclic(|me: &Weak<Widget>| -> Widget {
            kept.set(Some(me.clone()));
            gc::collect();
            panic!("expected")
        })
    }));
    assert!(result.is_err());
    assert!(kept.take().expect("set").upgrade().is_none());
}

#[test]
fn raw_pointers_round_trip() {
    let drops = Drops::default();
    let raw = Cc::into_raw(Node::counted(3, &drops));
    assert_eq!(drops.count(), 0);
    // SAFETY: from `into_raw`, once.
    let node = unsafe { Cc::from_raw(raw) };
    assert_eq!((node.id, Cc::as_ptr(&node)), (3, raw));
    let raw = Cc::downgrade(&node).into_raw();
    // SAFETY: from `into_raw`, once.
    let weak = unsafe { Weak::from_raw(raw) };
    assert!(weak.ptr_eq(&Cc::downgrade(&node)) && !weak.ptr_eq(&Weak::new()));
    drop(node);
    assert_eq!(drops.count(), 1);
}

#[test]
fn traits_are_those_of_the_value() {
    let cc = Cc::new(5);
    assert_eq!(format!("{cc} {cc:?} {:?}", Cc::downgrade(&cc)), "5 5 (Weak)");
    assert_eq!(format!("{cc:p}"), format!("{:p}", Cc::as_ptr(&cc)));
    assert!(cc < Cc::from(6) && cc >= Cc::default());
    let map = HashMap::from([(Cc::<str>::from("key"), 1)]);
    assert_eq!(map.get("key"), Some(&1), "found by what it borrows");
    let sum = |items: &[i32]| items.iter().sum::<i32>();
    assert_eq!(sum(Cc::<[i32]>::from_iter([1, 2, 3]).as_ref()), 6);
}

/// Cycles through objects of all alignments, and as large as several pools.
#[test]
fn x08_shapes_in_cycles() {
    fn cycle<T: 'static>(make: impl Fn() -> T, check: impl Fn(&T) -> bool) {
        struct Shaped<T> {
            value: Untraced<T>,
            edges: RefCell<Vec<Cc<Shaped<T>>>>,
        }
        // SAFETY: the edges, once; no `Drop`.
        unsafe impl<T: 'static> hoopsnake::Trace for Shaped<T> {
            fn trace(&self, tracer: &mut hoopsnake::Tracer<'_>) {
                self.edges.trace(tracer);
            }
        }
        impl<T: 'static> hoopsnake::TraceInfo for Shaped<T> {}
        let new = || Cc::new(Shaped { value: Untraced(make()), edges: RefCell::default() });
        let nodes: Vec<_> = (0..6).map(|_| new()).collect();
        for i in 0..6 {
            nodes[i].edges.borrow_mut().push(nodes[(i + 1) % 6].clone());
            assert_eq!(Cc::id(&nodes[i]) % align_of::<T>(), 0);
            assert!(check(&nodes[i].value));
        }
        let weaks: Vec<_> = nodes.iter().map(Cc::downgrade).collect();
        assert_eq!(gc::collect(), 0);
        let mut one = nodes.into_iter().next().expect("six");
        one.edges.borrow_mut().clear();
        assert!(weaks[1..].iter().all(|weak| weak.upgrade().is_none()), "by count");
        drop(weaks);
        assert!(check(&Cc::get_mut(&mut one).expect("alone").value));
        one.edges.borrow_mut().push(one.clone());
        drop(one);
        assert_eq!(gc::collect(), 1);
    }
    fresh();
    macro_rules! aligned {
        ($($align:literal)*) => {$(
            #[repr(align($align))]
            struct Aligned(u8);
            cycle(|| Aligned(7), |value| value.0 == 7);
            // Of size zero, and in a slice with edges.
            #[repr(align($align))]
            struct Empty;
            cycle(|| Empty, |_| true);
            let slice: Cc<[_]> = vec![(Node::new(1), Untraced(Aligned(7)))].into();
            assert_eq!(gc::collect(), 0);
            assert_eq!((slice[0].0.id, slice[0].1.0.0), (1, 7));
            assert!((&raw const slice[0].1).addr().is_multiple_of($align));
        )*};
    }
    {
        aligned!(1);
    }
    {
        aligned!(16);
    }
    {
        aligned!(32);
    }
    {
        aligned!(256);
    }
    {
        aligned!(4096);
    }
    {
        aligned!(32768);
    }
    cycle(|| [5_u8; 60_000], |value| value.iter().all(|&byte| byte == 5));
    cycle(|| [6_u8; 300_000], |value| value.iter().all(|&byte| byte == 6));
}

/// Objects behind a trait: one handle for types of all shapes, with edges and without, strong and weak.
#[test]
fn x08_trait_objects() {
    trait Named: 'static {
        fn name(&self) -> String;
    }
    impl Named for u8 {
        fn name(&self) -> String {
            format!("byte {self}")
        }
    }
    #[repr(align(64))]
    struct Wide(Drops, [u8; 200]);
    impl Named for Untraced<Wide> {
        fn name(&self) -> String {
            format!("{} wide bytes", self.0.1.len())
        }
    }
    impl Drop for Wide {
        fn drop(&mut self) {
            drop(self.0.probe());
        }
    }
    struct Holder {
        number: usize,
        edge: RefCell<Option<Cc<dyn Named>>>,
        _probe: crate::support::Probe,
    }
    crate::support::trace!(Holder { edge });
    impl Named for Holder {
        fn name(&self) -> String {
            format!("holder {}", self.number)
        }
    }
    fn unsized_<T: Named>(cc: Cc<T>) -> Cc<dyn Named> {
        let raw: *const T = Cc::into_raw(cc);
        // SAFETY: from `into_raw`, once; the same object.
        unsafe { Cc::from_raw(raw as *const dyn Named) }
    }
    fresh();
    let drops = Drops::default();
    let holder =
        |number| Cc::new(Holder { number, edge: RefCell::default(), _probe: drops.probe() });
    let all = || {
        [
            unsized_(Cc::new(7_u8)),
            unsized_(Cc::new(Untraced(Wide(drops.clone(), [1; 200])))),
            unsized_(holder(3)),
        ]
    };
    for way in 0..3 {
        let before = drops.count();
        let objects = all();
        let names: Vec<_> = objects.iter().map(|object| object.name()).collect();
        assert_eq!(names, ["byte 7", "200 wide bytes", "holder 3"]);
        assert!(Cc::id(&objects[1]).is_multiple_of(64));
        assert_eq!(objects.each_ref().map(gc::is_tracked), [false, false, true]);
        assert_eq!(objects.iter().map(Cc::id).collect::<HashSet<_>>().len(), 3);
        let weaks = objects.each_ref().map(Cc::downgrade);
        assert_eq!(gc::collect(), 0);
        assert!(weaks.iter().all(|weak| weak.upgrade().is_some_and(|same| same.name().len() > 5)));
        match way {
            0 => drop(objects),
            1 => objects.into_iter().for_each(drop),
            _ => drop((weaks.clone(), objects)),
        }
        assert!(weaks.iter().all(|weak| weak.upgrade().is_none()));
        assert_eq!(drops.count(), before + 2);
    }
    // Cycles of them.
    let before = drops.count();
    let holders: Vec<_> = (0..10).map(holder).collect();
    for n in 0..10 {
        *holders[n].edge.borrow_mut() = Some(unsized_(holders[(n + 1) % 10].clone()));
    }
    let last = unsized_(holders[9].clone());
    drop(holders);
    assert_eq!((gc::collect(), last.name()), (0, "holder 9".to_owned()));
    drop(last);
    assert_eq!((gc::collect(), drops.count()), (10, before + 10));
}

/// Objects of size zero that count as traced: each has its identity, also in slices.
#[test]
fn x08_traced_objects_of_size_zero() {
    struct Nothing;
    crate::support::trace!(Nothing {});
    fresh();
    let mut all: Vec<_> = (0..10_000).map(|_| Cc::new(Nothing)).collect();
    assert_eq!(all.iter().map(Cc::id).collect::<HashSet<_>>().len(), 10_000);
    let weak = Cc::downgrade(&all[9_999]);
    assert!(Cc::get_mut(&mut all[0]).is_some() && gc::collect() == 0);
    assert!(Cc::try_unwrap(all.swap_remove(0)).is_ok());
    drop(all);
    assert!(weak.upgrade().is_none());
    let slice: Cc<[Nothing]> = (0..1000).map(|_| Nothing).collect();
    let none: Cc<[Cc<Node>]> = Cc::default();
    assert_eq!((slice.len(), none.len(), gc::collect()), (1000, 0, 0));
    assert_ne!(Cc::id(&slice), Cc::id(&none));
}

#[test]
fn x08_slices_strings_and_alignments() {
    fresh();
    let text: Cc<str> = "añ".into();
    assert_eq!((&*text, Cc::<str>::default().len()), ("añ", 0));
    let drops = Drops::default();
    let slice: Cc<[_]> = (0..100).map(|_| drops.probe()).collect();
    assert_eq!(slice.len(), 100);
    drop(slice.clone());
    drop(slice);
    assert_eq!(drops.count(), 100);

    let nodes: Cc<[Cc<Node>]> = vec![Node::counted(0, &drops), Node::counted(1, &drops)].into();
    assert_eq!(gc::collect(), 0);
    assert_eq!(nodes[1].id, 1);
    drop(nodes);
    assert_eq!(drops.count(), 102);

    #[repr(align(64))]
    struct Wide(u8);
    crate::support::trace!(Wide {});
    #[repr(align(16))]
    struct Half(u8);
    crate::support::trace!(Half {});
    let wides: Vec<_> = (0..10).map(|i| Cc::new(Wide(i))).collect();
    let halves: Vec<_> = (0..10).map(|i| Cc::new(Half(i))).collect();
    for i in 0..10 {
        assert_eq!((Cc::id(&wides[i]) % 64, Cc::id(&halves[i]) % 16), (0, 0));
        assert_eq!((usize::from(wides[i].0), usize::from(halves[i].0)), (i, i));
    }
    let big = Cc::new([7u8; 300_000]);
    assert_eq!(big.iter().filter(|&&byte| byte == 7).count(), 300_000);
}
