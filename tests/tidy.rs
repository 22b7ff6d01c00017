//! The house rules that neither rustc nor clippy knows: each a function from one file to complaints.
//!
//! Every rule has a test below that feeds it wrong texts: a rule that cannot fail proves nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

const LAYERS: [&str; 8] = ["base", "sync", "os", "heap", "object", "cycle", "rc", "intern"];
const MAX_BODY_LINES: usize = 60;
const MAX_CODE_LINES: usize = 500;

/// Implementing a trait for std's types spells their paths; it uses none of them.
const NAMES_STD_TYPES: &str = "trace_impls.rs";

// Files -------------------------------------------------------------------------------------------

/// What rules need to know beyond one file.
struct Project {
    /// The modules that `src/lib.rs` declares, in its order: the layers, then what may use them all.
    modules: Vec<String>,
    /// The names of the files in `loom-tests/tests`.
    models: BTreeSet<String>,
}

/// One file; its path is relative to the repository.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    tokens: Vec<Token<'a>>,
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

struct Complaint {
    line: usize,
    message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

fn complain(line: usize, message: impl Into<String>) -> Complaint {
    Complaint { line, message: message.into() }
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        Self { path, text, tokens: lex(text) }
    }

    /// The tokens outside of tests.
    fn production(&self) -> Vec<Token<'a>> {
        let is_test = self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || self.path.starts_with("src/checkers");
        if is_test { Vec::new() } else { without_test_items(&self.tokens) }
    }

    /// The module that the file is: `src/heap/pool.rs` is `["heap", "pool"]`.
    fn module(&self) -> Vec<&'a str> {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inside.split('/').filter(|part| !["mod", "lib"].contains(part)).collect()
    }

    /// Whether the `//!` docs have this heading.
    fn documents(&self, heading: &str) -> bool {
        let mut docs = self.text.lines().filter_map(|line| line.strip_prefix("//!"));
        docs.any(|line| line.trim() == heading)
    }
}

// Tokens ------------------------------------------------------------------------------------------

/// Identifiers, whole literals, `::` and single characters; no comments and no white space.
fn lex(text: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let comment = comment_len(rest);
        let (token, tail) = rest.split_at(comment.unwrap_or_else(|| token_len(rest, first)));
        if comment.is_none() && !first.is_whitespace() {
            tokens.push(Token { text: token, line });
        }
        line += token.matches('\n').count();
        rest = tail;
    }
    tokens
}

fn comment_len(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| block_comment_len(rest))
}

fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn token_len(rest: &str, first: char) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    match literal_len(rest) {
        Some(len) => len,
        None if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        None if rest.starts_with("::") => 2,
        None => first.len_utf8(),
    }
}

fn literal_len(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - body.len();
    match body.chars().next()? {
        'r' => Some(prefix + raw_string_len(body)?),
        '"' => Some(prefix + quoted_len(body, '"')),
        '\'' if is_char(body) => Some(prefix + quoted_len(body, '\'')),
        _ => None,
    }
}

fn raw_string_len(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inside.find(&close).map_or(inside.len(), |at| at + close.len());
    Some(text.len() - inside.len() + end)
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn is_char(quoted: &str) -> bool {
    let mut inside = quoted.chars().skip(1);
    inside.next() == Some('\\') || inside.next() == Some('\'')
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// Whether `tokens` read `expected` from `at` on.
fn reads(tokens: &[Token], at: usize, expected: &[&str]) -> bool {
    let found = tokens.iter().skip(at).map(|token| token.text);
    found.take(expected.len()).eq(expected.iter().copied())
}

/// The index behind the bracket that closes the one at `open`.
fn behind_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 1 => return at + 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The index behind the item that starts at `at`: behind its `;` or its braces.
fn behind_item(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return at + 1,
            "{" => return behind_group(tokens, at),
            "(" | "[" => at = behind_group(tokens, at),
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// Leaves out what `#[cfg(test)]` (or `any(test, …)`, or `all(test, …)`) stands before.
fn without_test_items<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if reads(tokens, at, &["#", "[", "cfg", "("]) {
            let end = behind_group(tokens, at + 1);
            let has = |word| tokens[at..end].iter().any(|token| token.text == word);
            if has("test") && !has("not") {
                at = behind_item(tokens, end);
                continue;
            }
        }
        kept.push(tokens[at]);
        at += 1;
    }
    kept
}

/// The first name of the path at `at`, or of each path in `{…}`.
fn path_heads<'a>(tokens: &[Token<'a>], at: usize) -> Vec<Token<'a>> {
    if !reads(tokens, at, &["{"]) {
        return tokens.get(at).copied().into_iter().collect();
    }
    let (mut heads, mut next, end) = (Vec::new(), at + 1, behind_group(tokens, at) - 1);
    while next < end {
        heads.push(tokens[next]);
        while next < end && tokens[next].text != "," {
            next = if tokens[next].text == "{" { behind_group(tokens, next) } else { next + 1 };
        }
        next += 1;
    }
    heads
}

// Rule: a layer uses those to its left ------------------------------------------------------------

fn upward_uses(source: &Source, project: &Project) -> Vec<Complaint> {
    let rank = |name: &str| project.modules.iter().position(|module| module == name);
    let Some(own) = source.module().first().and_then(|layer| rank(layer)) else {
        return Vec::new();
    };
    let judge = |used: Token| {
        let message = match rank(used.text) {
            Some(layer) if layer <= own => return None,
            Some(_) => format!("{} uses the layer {} above it", project.modules[own], used.text),
            None => format!("crate::{} hides its layer: write crate::<layer>::…", used.text),
        };
        Some(complain(used.line, message))
    };
    names_at_root(source).into_iter().filter_map(judge).collect()
}

/// Each name that the file takes from the crate's root, by `crate::` or by enough `super::`.
fn names_at_root<'a>(source: &Source<'a>) -> Vec<Token<'a>> {
    let tokens = source.production();
    let mut depths = vec![source.module().len()];
    let mut names = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let depth = depths[depths.len() - 1];
        match token.text {
            "{" => depths.push(depth + usize::from(at >= 2 && tokens[at - 2].text == "mod")),
            "}" if depths.len() > 1 => drop(depths.pop()),
            "crate" | "hoopsnake" if reads(&tokens, at + 1, &["::"]) => {
                // An exported macro expands in other crates: there it needs the public names.
                let in_macro = at > 0 && tokens[at - 1].text == "$";
                let mut heads = path_heads(&tokens, at + 2);
                heads.retain(|name| !in_macro || LAYERS.contains(&name.text));
                names.extend(heads);
            }
            "super" if supers(&tokens, at) == depth => {
                names.extend(path_heads(&tokens, at + 2 * depth));
            }
            _ => {}
        }
    }
    names
}

/// How many `super::` follow each other from `at`; none in the middle of such a chain.
fn supers(tokens: &[Token], at: usize) -> usize {
    if at >= 2 && reads(tokens, at - 2, &["super", "::"]) {
        return 0;
    }
    (0..).take_while(|n| reads(tokens, at + 2 * n, &["super", "::"])).count()
}

// Rule: `sync` is the only door -------------------------------------------------------------------

/// Who may keep state of a thread.
const THREAD_STATE: &[&str] = &[
    "src/sync/",
    "src/heap/thread.rs",
    "src/object/deferred.rs",
    "src/cycle/",
    "src/intern/release.rs",
];

fn side_doors(source: &Source, _: &Project) -> Vec<Complaint> {
    let tokens = source.production();
    let mut complaints = Vec::new();
    let mut allow = |token: Token, places: &[&str]| {
        if !places.iter().any(|place| source.path.starts_with(place)) {
            let message = format!("`{}` belongs in {}", token.text, places.join(", "));
            complaints.push(complain(token.line, message));
        }
    };
    for (at, token) in tokens.iter().enumerate() {
        let opens_path = reads(&tokens, at + 1, &["::"]);
        match token.text {
            "core" | "std" | "alloc" if opens_path && !source.path.ends_with(NAMES_STD_TYPES) => {
                let heads = path_heads(&tokens, at + 2).into_iter();
                heads
                    .filter(|head| head.text == "sync")
                    .for_each(|head| allow(head, &["src/sync/"]));
            }
            "loom" if opens_path => allow(*token, &["src/sync/"]),
            "parking_lot" => allow(*token, &["src/sync/"]),
            "crossbeam_epoch" => allow(*token, &["src/rc/atomic.rs"]),
            "thread_local" => allow(*token, THREAD_STATE),
            _ => {}
        }
    }
    complaints
}

// Rule: the allocator allocates nothing -----------------------------------------------------------

/// Where the allocator's own code is.
const ALLOCATOR: &[&str] = &["src/base/", "src/os/", "src/heap/", "src/sync/raw_lock.rs"];

/// Printing statistics is the caller's business.
const PRINTS: &str = "src/heap/stats.rs";

/// Locks that allocate (or may, on some system), and what else does.
const ALLOCATING: &[&str] = &[
    "parking_lot",
    "crossbeam_epoch",
    "Mutex",
    "MutexGuard",
    "RwLock",
    "Condvar",
    "Once",
    "OnceLock",
    "LazyLock",
    "Box",
    "Vec",
    "vec",
    "String",
    "format",
    "println",
    "eprintln",
    "panic",
];

fn allocating_allocator(source: &Source, _: &Project) -> Vec<Complaint> {
    if !ALLOCATOR.iter().any(|place| source.path.starts_with(place)) || source.path == PRINTS {
        return Vec::new();
    }
    let tokens = source.production().into_iter();
    let allocates = tokens.filter(|token| ALLOCATING.contains(&token.text));
    allocates
        .map(|token| {
            complain(token.line, format!("`{}` allocates: not below the heap", token.text))
        })
        .collect()
}

// Rule: every unsafe says why ---------------------------------------------------------------------

fn unexplained_unsafe(source: &Source, _: &Project) -> Vec<Complaint> {
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let judge = |(at, token): (usize, &Token)| {
        let (above, here) = (&lines[..token.line - 1], lines[token.line - 1]);
        let message = match unsafe_kind(&source.tokens, at) {
            Unsafe::Assertion if !here.contains("// SAFETY:") && !has_reason(above) => {
                "unsafe without a `// SAFETY:` above it"
            }
            Unsafe::Contract if !has_safety_docs(above) => "no `# Safety` in an unsafe item's docs",
            _ => return None,
        };
        Some(complain(token.line, message))
    };
    let all = source.tokens.iter().enumerate().filter(|(_, token)| token.text == "unsafe");
    all.filter_map(judge).collect()
}

enum Unsafe {
    /// A block or an impl: says that conditions hold.
    Assertion,
    /// A function or a trait: has conditions.
    Contract,
    /// A function pointer's type, an attribute, a method whose trait has the conditions, or an
    /// `extern` block (clippy rejects a reason there).
    Neither,
}

fn unsafe_kind(tokens: &[Token], at: usize) -> Unsafe {
    let is_abi = |token: &&Token| token.text == "extern" || token.text.starts_with('"');
    let next = at + 1 + tokens[at + 1..].iter().take_while(is_abi).count();
    let is_named = tokens.get(next + 1).is_some_and(|name| name.text != "(");
    match tokens.get(next).map_or("", |token| token.text) {
        "{" if next == at + 1 => Unsafe::Assertion,
        "impl" => Unsafe::Assertion,
        "trait" => Unsafe::Contract,
        "fn" if is_named && !in_trait_impl(tokens, at) => Unsafe::Contract,
        _ => Unsafe::Neither,
    }
}

/// Whether the innermost braces around `at` are those of an `impl Trait for Type`.
fn in_trait_impl(tokens: &[Token], at: usize) -> bool {
    let mut depth = 0;
    let open = tokens[..at].iter().rposition(|token| {
        depth += i32::from(token.text == "}") - i32::from(token.text == "{");
        depth < 0
    });
    let before = &tokens[..open.unwrap_or(0)];
    let start = before.iter().rposition(|token| ["{", "}", ";"].contains(&token.text));
    let header = &before[start.map_or(0, |at| at + 1)..];
    let is_for = |at: usize| header[at].text == "for" && !reads(header, at + 1, &["<"]);
    header.iter().any(|token| token.text == "impl") && (0..header.len()).any(is_for)
}

/// Whether a comment with the reason stands right above, or above the statement that goes on here.
fn has_reason(above: &[&str]) -> bool {
    let goes_on = |line: &&&str| {
        let code = line.split("//").next().unwrap_or("").trim_end();
        !code.is_empty() && !code.ends_with([';', '{', '}', ','])
    };
    let comment = above.iter().rev().skip_while(goes_on).take_while(|line| line.starts_with("//"));
    comment.into_iter().any(|line| line.starts_with("// SAFETY:"))
}

fn has_safety_docs(above: &[&str]) -> bool {
    let is_header =
        |line: &&&str| line.starts_with("//") || line.starts_with("#[") || line.ends_with(")]");
    let mut header = above.iter().rev().take_while(is_header);
    header.any(|line| line.trim_start_matches('/').trim() == "# Safety")
}

// Rules: docs and lengths -------------------------------------------------------------------------

fn missing_module_docs(source: &Source, _: &Project) -> Vec<Complaint> {
    let first = source.text.lines().next().unwrap_or_default();
    let is_included = first.starts_with("#![doc = include_str!(");
    if is_included || first.strip_prefix("//!").is_some_and(|docs| !docs.trim().is_empty()) {
        return Vec::new();
    }
    vec![complain(1, "the file does not open with `//!` docs")]
}

fn long_bodies(source: &Source, _: &Project) -> Vec<Complaint> {
    let tokens = &source.tokens;
    let judge = |at: usize| {
        let name = tokens.get(at + 1).filter(|name| name.text != "(")?;
        let close = behind_item(tokens, at) - 1;
        let open = (at..close).find(|&at| tokens[at].text == "{")?;
        let lines = (tokens[close].line - tokens[open].line).saturating_sub(1);
        let message = format!("{} has {lines} lines, {MAX_BODY_LINES} at most", name.text);
        (lines > MAX_BODY_LINES).then(|| complain(tokens[at].line, message))
    };
    (0..tokens.len()).filter(|&at| tokens[at].text == "fn").filter_map(judge).collect()
}

fn long_files(source: &Source, _: &Project) -> Vec<Complaint> {
    let lines: BTreeSet<usize> = source.tokens.iter().map(|token| token.line).collect();
    if lines.len() <= MAX_CODE_LINES {
        return Vec::new();
    }
    vec![complain(1, format!("{} lines of code, {MAX_CODE_LINES} at most", lines.len()))]
}

// Rule: protocols are written down and modelled ---------------------------------------------------

fn unmodelled_protocols(source: &Source, project: &Project) -> Vec<Complaint> {
    if source.path == "src/sync/native.rs" {
        return Vec::new();
    }
    let tokens = source.production();
    let mut complaints = Vec::new();
    let mut require = |heading: &str, names: &[&str]| {
        if let Some(line) = first_ordering(&tokens, names).filter(|_| !source.documents(heading)) {
            let message = format!("a memory ordering, and no `{heading}` in the module's docs");
            complaints.push(complain(line, message));
        }
    };
    require("# Orderings", &["*", "Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"]);
    // Relaxed alone orders nothing between threads: there is no protocol to run.
    require("# Protocol", &["*", "Acquire", "Release", "AcqRel", "SeqCst"]);

    let name = source.module().last().copied().unwrap_or_default();
    if source.documents("# Protocol") && !project.models.contains(name) {
        complaints.push(complain(1, format!("a protocol without loom-tests/tests/{name}.rs")));
    }
    complaints
}

/// The line of the first `Ordering::` with one of `names`; that of `core::cmp` is another one.
fn first_ordering(tokens: &[Token], names: &[&str]) -> Option<usize> {
    let is_ordering = |at: &usize| {
        reads(tokens, *at, &["Ordering", "::"])
            && !(*at >= 2 && reads(tokens, at - 2, &["cmp", "::"]))
            && path_heads(tokens, at + 2).iter().any(|head| names.contains(&head.text))
    };
    (0..tokens.len()).find(is_ordering).map(|at| tokens[at].line)
}

// Rule: nothing unfinished ------------------------------------------------------------------------

fn leftovers(source: &Source, _: &Project) -> Vec<Complaint> {
    let macros: [&[&str]; 4] = [
        &["todo", "!", "("],
        &["unimplemented", "!", "("],
        &["dbg", "!", "("],
        &["#", "[", "ignore"],
    ];
    // In pieces, so that this file does not complain of itself.
    let marks = [concat!("FIX", "ME"), concat!("XX", "X")];
    let tokens = &source.tokens;
    let in_code = (0..tokens.len())
        .filter(|&at| macros.iter().any(|words| reads(tokens, at, words)))
        .map(|at| tokens[at].line);
    let in_text = (1..)
        .zip(source.text.lines())
        .filter(|(_, text)| marks.iter().any(|mark| text.contains(mark)))
        .map(|(line, _)| line);
    in_code.chain(in_text).map(|line| complain(line, "something unfinished")).collect()
}

// The tree ----------------------------------------------------------------------------------------

type Rule = fn(&Source, &Project) -> Vec<Complaint>;

const CRATE: &[&str] = &["src"];
const PRODUCT: &[&str] = &["src", "derive/src"];
const ALL: &[&str] = &["src", "derive", "loom-tests", "benches", "fuzz", "tests", "examples"];

/// Each rule with the directories that it holds for.
const RULES: [(Rule, &[&str]); 9] = [
    (upward_uses, CRATE),
    (side_doors, CRATE),
    (allocating_allocator, CRATE),
    (unexplained_unsafe, PRODUCT),
    (missing_module_docs, ALL),
    (long_bodies, PRODUCT),
    (long_files, PRODUCT),
    (unmodelled_protocols, CRATE),
    (leftovers, ALL),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `directory`, without build output and the texts that must not compile.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable directory").path()) {
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("tests/ui") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a readable file")
}

fn project() -> Project {
    let lib = read(&root().join("src/lib.rs"));
    let tokens = lex(&lib);
    let is_declaration = |at: &usize| tokens[*at].text == "mod" && reads(&tokens, at + 2, &[";"]);
    let declared = (0..tokens.len()).filter(is_declaration);
    let models = rust_files(&root().join("loom-tests/tests")).into_iter();
    Project {
        modules: declared.map(|at| tokens[at + 1].text.to_owned()).collect(),
        models: models.map(|path| path.file_stem().unwrap().display().to_string()).collect(),
    }
}

#[test]
fn the_tree_is_tidy() {
    let project = project();
    let (mut report, mut checks) = (String::new(), 0);
    for (rule, directories) in RULES {
        for file in directories.iter().flat_map(|directory| rust_files(&root().join(directory))) {
            let path = file.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/");
            for complaint in rule(&Source::new(&path, &read(&file)), &project) {
                report += &format!("{path}:{complaint}\n");
            }
            checks += 1;
        }
    }
    assert!(checks > 100, "only {checks} checks: were the files found?");
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn the_layers_are_declared_in_their_order() {
    let declared = project().modules;
    let layers: Vec<&str> =
        declared.iter().map(String::as_str).filter(|name| LAYERS.contains(name)).collect();
    assert_eq!(layers, LAYERS);
}

// The rules on wrong texts ------------------------------------------------------------------------

const NONE: [usize; 0] = [];

/// The lines that `rule` complains of, in a project with one model.
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let modules = LAYERS.map(str::to_owned).to_vec();
    let project = Project { modules, models: BTreeSet::from(["word".to_owned()]) };
    rule(&Source::new(path, text), &project).iter().map(|complaint| complaint.line).collect()
}

#[test]
fn upward_uses_are_reported() {
    let of = |text| lines(upward_uses, "src/heap/pool.rs", text);
    assert_eq!(of("use crate::rc::Cc;"), [1]);
    assert_eq!(of("\nfn f() { crate::cycle::run() }"), [2]);
    assert_eq!(of("use crate::{\n  base::{bits, cold},\n  intern::Int,\n};"), [3]);
    assert_eq!(of("use super::super::cycle;"), [1]);
    assert_eq!(of("mod m { use super::super::super::rc; }"), [1]);
    assert_eq!(of("use hoopsnake::rc::Cc;"), [1]);
    assert_eq!(of("macro_rules! m { () => { $crate::rc::f() } }"), [1]);
    assert_eq!(of("use crate::Cc;\nuse crate::*;"), [1, 2], "re-exports hide the layer");
    assert_eq!(lines(upward_uses, "src/sync/mod.rs", "use super::os;"), [1]);
    assert_eq!(lines(upward_uses, "src/cycle.rs", "use crate::rc::Cc;"), [1]);
}

#[test]
fn other_uses_are_not() {
    let of = |text| lines(upward_uses, "src/heap/pool.rs", text);
    assert_eq!(of("use crate::{base, heap::word, os::map};\npub(crate) fn f() {}"), NONE);
    assert_eq!(of("// crate::rc\n/* crate::rc /* */ crate::rc */\n/// [`crate::rc`]"), NONE);
    assert_eq!(of(r##"const A: &str = "\" crate::rc"; const B: &str = r#"" crate::rc"#;"##), NONE);
    assert_eq!(of("#[cfg(test)]\nmod tests { use crate::rc::Cc; }"), NONE);
    assert_eq!(of("use super::word; mod m { use super::super::word; }"), NONE);
    assert_eq!(of("fn f<'a>(c: &'a char) { if *c == '\"' { crate::os::f() } }"), NONE);
    assert_eq!(lines(upward_uses, "src/heap/pool/tests.rs", "use crate::rc::Cc;"), NONE);
}

#[test]
fn side_doors_are_reported() {
    let of = |text| lines(side_doors, "src/heap/pool.rs", text);
    assert_eq!(of("use core::sync::atomic::AtomicU8;"), [1]);
    assert_eq!(of("use std::{\n  io,\n  sync::Arc,\n};"), [3]);
    assert_eq!(of("\nfn f(m: &parking_lot::RwLock<u8>) {}"), [2]);
    assert_eq!(of("use loom::thread;"), [1]);
    assert_eq!(of("use crossbeam_epoch as epoch;"), [1]);
    assert_eq!(of("std::thread_local! {}"), [1]);
    assert_eq!(of("#[cfg(not(test))] use std::sync::Arc;"), [1]);
    assert_eq!(of("#[cfg(test)] mod tests { use std::sync::Arc; }"), NONE);
    assert_eq!(of("#[cfg(loom)] use crate::sync::atomic;\nuse std::io;"), NONE);
    assert_eq!(lines(side_doors, "src/sync/native.rs", "use parking_lot::Mutex;"), NONE);
    assert_eq!(lines(side_doors, "src/heap/thread.rs", "thread_local! {}"), NONE);
}

#[test]
fn allocation_in_the_allocator_is_reported() {
    let of = |path, text| lines(allocating_allocator, path, text);
    assert_eq!(of("src/heap/pool.rs", "use crate::sync::Mutex;\nfn f() { g(vec![1]) }"), [1, 2]);
    assert_eq!(of("src/os/unix.rs", "fn f() -> Box<u8> { format!(\"\") }"), [1, 1]);
    assert_eq!(of("src/sync/raw_lock.rs", "use std::sync::Mutex;"), [1]);
    assert_eq!(
        of("src/heap/pool.rs", "use parking_lot::RwLock; use crossbeam_epoch::pin;"),
        [1, 1, 1]
    );
    assert_eq!(of("src/heap/pool.rs", "use crate::sync::RawMutex; /// Vec\nfn f() {}"), NONE);
    assert_eq!(of("src/heap/pool.rs", "#[cfg(test)]\nmod tests { fn f() { vec![1]; } }"), NONE);
    assert_eq!(of("src/intern/table.rs", "use crate::sync::Mutex;"), NONE);
}

#[test]
fn unexplained_unsafe_is_reported() {
    let of = |text| lines(unexplained_unsafe, "src/heap/pool.rs", text);
    assert_eq!(of("fn f() {\n  unsafe { g() }\n}"), [2]);
    assert_eq!(of("// SAFETY: for a.\nlet a = unsafe { g() };\nlet b = unsafe { g() };"), [3]);
    assert_eq!(of("// SAFETY: far away.\n\nunsafe impl Send for A {}"), [3]);
    assert_eq!(of("/// Docs.\nunsafe fn f() {}"), [2]);
    assert_eq!(of("/// # Safety\n/// None.\nfn g() {}\npub unsafe extern \"C\" fn f() {}"), [4]);
    assert_eq!(of("/// Docs.\npub unsafe trait T {}"), [2]);
    assert_eq!(of("impl<F: for<'a> Fn(&'a u8)> A<F> {\n  unsafe fn f() {}\n}"), [2]);
}

#[test]
fn explained_unsafe_is_not() {
    let of = |text| lines(unexplained_unsafe, "src/heap/pool.rs", text);
    assert_eq!(of("// SAFETY: one\n// and two.\nlet a =\n    unsafe { g() };"), NONE);
    assert_eq!(of("// SAFETY: never sent.\n#[cfg(unix)]\nunsafe impl Send for A {}"), NONE);
    assert_eq!(of("/// # Safety\n/// Once.\n#[inline(always)]\npub(crate) unsafe fn f() {}"), NONE);
    assert_eq!(of("// SAFETY: ok.\nunsafe impl G for A {\n  unsafe fn f(&self) {}\n}"), NONE);
    assert_eq!(of("const A: &str = \"unsafe { }\"; type F = unsafe extern \"C\" fn(u8);"), NONE);
    assert_eq!(of("unsafe extern \"C\" {\n  fn f();\n}"), NONE);
}

#[test]
fn missing_module_docs_are_reported() {
    assert_eq!(lines(missing_module_docs, "src/a.rs", "// A comment.\n//! Late."), [1]);
    assert_eq!(lines(missing_module_docs, "src/a.rs", "//!\n"), [1]);
    assert_eq!(lines(missing_module_docs, "src/a.rs", "//! What it is for.\n"), NONE);
}

#[test]
fn lengths_are_reported() {
    let body = |lines: usize| format!("\nfn f(a: [u8; 3]) {{\n{}}}\n", "a();\n".repeat(lines));
    assert_eq!(lines(long_bodies, "src/a.rs", &body(MAX_BODY_LINES + 1)), [2]);
    assert_eq!(lines(long_bodies, "src/a.rs", &body(MAX_BODY_LINES)), NONE);
    let file = |lines: usize| "const A: u8 = 1; // one\n// two\n\n".repeat(lines);
    assert_eq!(lines(long_files, "src/a.rs", &file(MAX_CODE_LINES + 1)), [1]);
    assert_eq!(lines(long_files, "src/a.rs", &file(MAX_CODE_LINES)), NONE);
}

#[test]
fn unmodelled_protocols_are_reported() {
    let of = |path, text| lines(unmodelled_protocols, path, text);
    let documented = "//! # Protocol\n//! # Orderings\nfn f() { a.load(Ordering::Acquire) }";
    assert_eq!(of("src/heap/word.rs", "fn f() { a.load(Ordering::Acquire) }"), [1, 1]);
    assert_eq!(of("src/heap/word.rs", "//! # Protocol\nuse Ordering::{Acquire, Release};"), [2]);
    assert_eq!(of("src/heap/pool.rs", "//! Docs.\nuse Ordering::Relaxed;"), [2]);
    assert_eq!(of("src/heap/pool.rs", "//! # Orderings\nuse Ordering::Relaxed;"), NONE);
    assert_eq!(of("src/heap/other.rs", documented), [1], "there is no such model");
    assert_eq!(of("src/heap/word.rs", documented), NONE);
    assert_eq!(of("src/a.rs", "use core::cmp::Ordering::*; fn f() { Ordering::Less }"), NONE);
}

#[test]
fn leftovers_are_reported() {
    let of = |text: &str| lines(leftovers, "src/a.rs", text);
    assert_eq!(of("fn f() {\n  todo!()\n}"), [2]);
    assert_eq!(of("fn f() { unimplemented!(\"later\") }"), [1]);
    assert_eq!(of("fn f() { dbg!(1); }"), [1]);
    assert_eq!(of("#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [2]);
    assert_eq!(of(concat!("// FIX", "ME: later")), [1]);
    assert_eq!(of(concat!("\n// XX", "X")), [2]);
    assert_eq!(of("// Nothing to do!\nconst A: &str = \"todo!()\";"), NONE);
}
