//! What both programs do: every part of hoopsnake's first page, through public names only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::thread;

use hoopsnake::intern::{Int, Interned, intern};
use hoopsnake::{Cc, Dying, Finalize, Trace, Weak, gc, heap};

#[derive(Trace)]
struct Node {
    id: u64,
    next: RefCell<Option<Cc<Node>>>,
    parent: RefCell<Weak<Node>>,
}

impl Node {
    fn new(id: u64) -> Cc<Self> {
        Cc::new(Node { id, next: RefCell::new(None), parent: RefCell::new(Weak::new()) })
    }
}

#[derive(Trace)]
enum Tree<T: Trace> {
    Leaf(#[trace(skip)] String),
    Branch { left: Cc<Tree<T>>, right: Cc<Tree<T>>, value: T },
}

thread_local! {
    static FINALIZED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[derive(Trace)]
#[trace(finalize)]
struct Noisy {
    name: String,
    itself: RefCell<Option<Cc<Noisy>>>,
}

impl Finalize for Noisy {
    fn finalize(&self, _this: &Dying<'_, Self>) {
        FINALIZED.with(|names| names.borrow_mut().push(self.name.clone()));
    }
}

/// Uses each part and panics where one does not do what it says.
pub fn use_everything() {
    cycles_are_collected();
    trees_die_by_count();
    finalizers_run_once();
    equal_strings_are_one();
    threads_have_their_own_collector();
    collections_work();
}

fn cycles_are_collected() {
    gc::collect();
    let (a, b) = (Node::new(1), Node::new(2));
    a.next.replace(Some(b.clone()));
    b.next.replace(Some(a.clone()));
    b.parent.replace(Cc::downgrade(&a));
    let weak: Weak<Node> = Cc::downgrade(&b);
    assert_eq!((Cc::strong_count(&a), Cc::weak_count(&a)), (2, 1));
    assert_eq!(weak.upgrade().map(|node| node.id), Some(2));

    drop((a, b));
    assert!(weak.upgrade().is_some(), "the cycle holds itself");
    assert_eq!(gc::collect(), 2);
    assert!(weak.upgrade().is_none());
    assert_eq!(gc::collect(), 0);
}

fn trees_die_by_count() {
    let leaf = Cc::new(Tree::Leaf("leaf".to_owned()));
    let root = Cc::new(Tree::Branch { left: leaf.clone(), right: leaf.clone(), value: 7u8 });
    assert_eq!(Cc::strong_count(&leaf), 3);
    if let Tree::Branch { left, right, value } = &*root {
        assert!(Cc::ptr_eq(left, right) && *value == 7);
    }
    drop(root);
    assert_eq!(Cc::strong_count(&leaf), 1);
    assert!(matches!(&*leaf, Tree::Leaf(text) if text == "leaf"));
}

fn finalizers_run_once() {
    let noisy = Cc::new(Noisy { name: "noisy".to_owned(), itself: RefCell::new(None) });
    noisy.itself.replace(Some(noisy.clone()));
    drop(noisy);
    assert_eq!(gc::collect(), 1);
    assert_eq!(FINALIZED.with(|names| names.take()), ["noisy"]);
}

fn equal_strings_are_one() {
    let spam: Interned<str> = intern("spam");
    let again = intern(&["sp", "am"].concat());
    assert!(spam.ptr_eq(&again) && &*spam == "spam");
    assert!(!spam.ptr_eq(&intern("eggs")));
    assert!(Int::new(10).ptr_eq(&Int::new(10)));
    assert_eq!(Int::new(1000).get(), 1000);
}

fn threads_have_their_own_collector() {
    let workers: Vec<_> = (0..4)
        .map(|id| {
            thread::spawn(move || {
                let node = Node::new(id);
                node.next.replace(Some(node.clone()));
                drop(node);
                (gc::collect(), intern("shared"), vec![id; 1000])
            })
        })
        .collect();
    let here = intern("shared");
    for worker in workers {
        // The vector was allocated on a thread that is gone when it is freed.
        let (freed, there, vector) = worker.join().expect("a worker without a failed assertion");
        assert!(freed == 1 && here.ptr_eq(&there) && vector.len() == 1000);
    }
}

fn collections_work() {
    let mut map: HashMap<String, Vec<usize>> = HashMap::new();
    for n in 0..10_000 {
        map.entry(format!("key {}", n % 100)).or_default().push(n);
    }
    map.retain(|_, numbers| numbers[0] % 2 == 0);
    assert_eq!(map.len(), 50);
    assert!(map.values().all(|numbers| numbers.len() == 100));
    drop(map);
    heap::trim();
    assert!(!heap::stats().to_string().is_empty());
}
