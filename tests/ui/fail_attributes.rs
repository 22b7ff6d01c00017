// One mistake each.
use hoopsnake::Trace;

#[derive(Trace)]
#[trace(leave)]
struct UnknownOnType;

#[derive(Trace)]
struct UnknownOnField(#[trace(ignore)] u8);

#[derive(Trace)]
struct UnknownUnsafe(#[trace(unsafe(skip))] u8);

#[derive(Trace)]
struct NotUnsafe(#[trace(with = trace)] u8);

#[derive(Trace)]
#[trace(unsafe())]
struct EmptyUnsafe;

#[derive(Trace)]
#[trace(skip)]
struct FieldOnType;

#[derive(Trace)]
struct TypeOnField(#[trace(finalize)] u8);

#[derive(Trace)]
enum FieldOnVariant {
    #[trace(leaf)]
    A,
}

#[derive(Trace)]
#[trace(leaf)]
#[trace(leaf)]
struct Duplicate;

#[derive(Trace)]
#[trace(leaf, finalize)]
struct Conflict;

#[derive(Trace)]
#[trace(drop, unsafe(drop))]
struct ConflictDrop;

#[derive(Trace)]
struct ConflictField(#[trace(skip, leaf)] u8);

#[derive(Trace)]
#[trace(drop)]
struct NeverCalled(#[trace(unsafe(with = trace))] u8);

#[derive(Trace)]
#[trace]
struct Bare;

#[derive(Trace)]
#[trace(leaf = true)]
struct Value;

#[derive(Trace)]
#[trace(bound)]
struct NoValue;

#[derive(Trace)]
#[trace(bound = "T is Trace")]
struct BadBound<T>(T);

#[derive(Trace)]
#[trace(crate = "hoopsnake")]
struct CrateAsText;

fn main() {}
