//! The `#[trace(…)]` attributes: what they say, where they may stand, what they must not say together.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, LitStr, Path, Result, Token, WherePredicate, parse_quote};

/// Where an attribute stands, and which names are understood there.
struct Place {
    name: &'static str,
    allowed: &'static [&'static str],
}

const TYPE: Place = Place {
    name: "a type",
    allowed: &["leaf", "edges", "drop", "unsafe(drop)", "finalize", "bound", "crate"],
};
const VARIANT: Place = Place { name: "a variant", allowed: &["skip"] };
const FIELD: Place = Place { name: "a field", allowed: &["skip", "leaf", "unsafe(with)"] };

/// Pairs that contradict each other, and why.
const CONFLICTS: &[(&str, &str, &str)] = &[
    ("leaf", "edges", "a leaf has no edges"),
    ("drop", "edges", "a type with edges must not implement `Drop`; use `Finalize` instead"),
    ("leaf", "finalize", "a finalizer needs the header word that a leaf does without"),
    ("leaf", "unsafe(drop)", "a leaf has no edges, so the safe `drop` will do"),
    ("drop", "unsafe(drop)", "`drop` says that the type has no edges, `unsafe(drop)` that it may"),
    ("skip", "leaf", "a skipped field is not looked at"),
    ("skip", "unsafe(with)", "a skipped field is not traced"),
    ("leaf", "unsafe(with)", "a leaf is not traced"),
];

/// What the attributes on a type say.
pub(crate) struct TypeAttributes {
    /// The path of the hoopsnake crate.
    pub(crate) krate: Path,
    /// The bounds that replace the inferred ones.
    pub(crate) bound: Option<Punctuated<WherePredicate, Token![,]>>,
    pub(crate) leaf: bool,
    pub(crate) edges: bool,
    pub(crate) drop: bool,
    pub(crate) unsafe_drop: Option<Span>,
    pub(crate) finalize: bool,
    /// The user's `#[allow(…)]`s, which hold for the output too.
    pub(crate) allows: Vec<Attribute>,
}

/// How a field is traced.
pub(crate) enum Role {
    /// By its own `Trace`.
    Traced,
    /// Not at all: its edges count as held from outside.
    Skipped,
    /// Not at all, because it leads nowhere; which is asserted.
    Leaf,
    /// By a function of the user's; the span is that of the word `unsafe`.
    With(Path, Span),
}

impl TypeAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let entries = Entries::parse(attributes, &TYPE)?;
        let has = |name| entries.get(name).is_some();
        let bound = entries.get("bound").and_then(|entry| match &entry.value {
            Value::Bound(bound) => Some(bound.clone()),
            _ => None,
        });
        Ok(Self {
            krate: entries.path("crate").unwrap_or_else(|| parse_quote!(::hoopsnake)),
            bound,
            leaf: has("leaf"),
            edges: has("edges"),
            drop: has("drop"),
            unsafe_drop: entries.get("unsafe(drop)").map(|entry| entry.span),
            finalize: has("finalize"),
            allows: attributes.iter().filter(|a| a.path().is_ident("allow")).cloned().collect(),
        })
    }
}

/// Whether a variant is skipped.
pub(crate) fn parse_variant(attributes: &[Attribute]) -> Result<bool> {
    Ok(Entries::parse(attributes, &VARIANT)?.get("skip").is_some())
}

impl Role {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let entries = Entries::parse(attributes, &FIELD)?;
        if let Some(with) = entries.get("unsafe(with)")
            && let Value::Path(path) = &with.value
        {
            return Ok(Role::With(path.clone(), with.span));
        }
        Ok(match (entries.get("skip"), entries.get("leaf")) {
            (Some(_), _) => Role::Skipped,
            (_, Some(_)) => Role::Leaf,
            _ => Role::Traced,
        })
    }
}

/// One item of a list `#[trace(item, item = value)]`.
struct Entry {
    /// As it is spelled in [`Place::allowed`].
    name: String,
    span: Span,
    value: Value,
}

enum Value {
    None,
    Path(Path),
    Bound(Punctuated<WherePredicate, Token![,]>),
}

/// All items of the `trace` attributes in one place.
struct Entries(Vec<Entry>);

impl Entries {
    fn parse(attributes: &[Attribute], place: &Place) -> Result<Self> {
        let mut entries = Self(Vec::new());
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("trace")) {
            attribute.parse_nested_meta(|item| entries.parse_item(&item, place))?;
        }
        Ok(entries)
    }

    fn parse_item(&mut self, item: &ParseNestedMeta<'_>, place: &Place) -> Result<()> {
        let span = item.path.span();
        let name = spelled(&item.path);
        if name != "unsafe" {
            return self.add(name, span, item, place);
        }
        item.parse_nested_meta(|inner| {
            self.add(format!("unsafe({})", spelled(&inner.path)), span, &inner, place)
        })
    }

    fn add(
        &mut self,
        name: String,
        span: Span,
        item: &ParseNestedMeta<'_>,
        place: &Place,
    ) -> Result<()> {
        check_known(&name, span, place)?;
        self.check_others(&name, span)?;
        let value = parse_value(&name, item)?;
        self.0.push(Entry { name, span, value });
        Ok(())
    }

    /// That `name` neither repeats nor contradicts what came before.
    fn check_others(&self, name: &str, span: Span) -> Result<()> {
        if self.get(name).is_some() {
            return Err(Error::new(span, format!("duplicate `{name}`")));
        }
        for (first, second, why) in CONFLICTS {
            for (one, other) in [(first, second), (second, first)] {
                if *one == name && self.get(other).is_some() {
                    let message = format!("`{name}` conflicts with `{other}`: {why}");
                    return Err(Error::new(span, message));
                }
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.name == name)
    }

    fn path(&self, name: &str) -> Option<Path> {
        match &self.get(name)?.value {
            Value::Path(path) => Some(path.clone()),
            _ => None,
        }
    }
}

fn parse_value(name: &str, meta: &ParseNestedMeta<'_>) -> Result<Value> {
    Ok(match name {
        "crate" | "unsafe(with)" => Value::Path(meta.value()?.parse()?),
        "bound" => {
            let text: LitStr = meta.value()?.parse()?;
            Value::Bound(text.parse_with(Punctuated::parse_terminated)?)
        }
        _ => Value::None,
    })
}

fn spelled(path: &Path) -> String {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
}

fn check_known(name: &str, span: Span, place: &Place) -> Result<()> {
    if place.allowed.contains(&name) {
        return Ok(());
    }
    let elsewhere = [TYPE, VARIANT, FIELD].iter().any(|other| other.allowed.contains(&name));
    let wrapped = format!("unsafe({name})");
    let message = if elsewhere {
        format!("`{name}` cannot stand on {}; {}", place.name, expected(place))
    } else if place.allowed.contains(&wrapped.as_str()) {
        format!("`{name}` is unsafe: write `#[trace({wrapped})]`")
    } else {
        format!("unknown attribute `{name}`; {}", expected(place))
    };
    Err(Error::new(span, message))
}

fn expected(place: &Place) -> String {
    let names: Vec<_> = place.allowed.iter().map(|name| format!("`{name}`")).collect();
    format!("expected {} here", names.join(", "))
}
