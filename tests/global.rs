//! The allocator installed: everything std does goes through it.

use std::collections::{BTreeMap, HashMap};

#[global_allocator]
static GLOBAL: hoopsnake::PoolAlloc = hoopsnake::PoolAlloc;

#[test]
fn collections_and_threads() {
    let handles: Vec<_> = (0..8u64)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut map = HashMap::new();
                let mut tree = BTreeMap::new();
                for n in 0..20_000u64 {
                    let key = n.wrapping_mul(seed + 0x9E37_79B9_7F4A_7C15) >> 40;
                    map.entry(key % 5000).or_insert_with(Vec::new).push(format!("{n}"));
                    tree.insert(key, vec![n; (n % 50) as usize]);
                    if n % 3 == 0 {
                        tree.pop_first();
                    }
                }
                (map, tree)
            })
        })
        .collect();
    for handle in handles {
        let (map, tree) = handle.join().unwrap();
        assert_eq!(map.values().map(Vec::len).sum::<usize>(), 20_000);
        assert!(tree.iter().all(|(_, values)| values.windows(2).all(|pair| pair[0] == pair[1])));
    }
}
