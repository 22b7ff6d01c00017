use hoopsnake::{Dying, Finalize, Trace};

#[derive(Trace)]
struct File(u8);

impl Finalize for File {
    fn finalize(&self, _: &Dying<'_, Self>) {}
}

#[derive(Trace)]
#[trace(finalize)]
struct NotFinalize;

fn main() {}
