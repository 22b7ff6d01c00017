use hoopsnake::intern::Interner;

fn main() {
    let any: Interner<for<'a> fn(&'a str)> = Interner::new();
    // What it interns need not take every `&str`.
    let _only_static: &Interner<fn(&'static str)> = &any;
}
