use hoopsnake::{Cc, Weak};

fn send<T: Send>() {}
fn sync<T: Sync>() {}

fn main() {
    send::<Cc<u8>>();
    sync::<Cc<u8>>();
    send::<Weak<u8>>();
    sync::<Weak<u8>>();
}
