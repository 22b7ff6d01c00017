use hoopsnake::{Cc, Trace};

#[derive(Trace)]
struct Other(Vec<Cc<Other>>);

#[derive(Trace)]
#[trace(drop)]
struct Guard {
    id: u8,
    other: Other,
}

impl Drop for Guard {
    fn drop(&mut self) {}
}

fn main() {}
