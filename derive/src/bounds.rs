//! Which type parameters need a bound, and which types mention a name.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{
    GenericParam, Generics, Ident, Macro, Path, Type, TypeBareFn, TypeParam, TypeParamBound,
    TypePath, TypePtr, TypeReference, TypeTraitObject, WherePredicate, parse_quote,
};

/// Whether one of `names` occurs anywhere in `tokens`.
pub(crate) fn mentions(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|tree| match tree {
        TokenTree::Ident(ident) => names.iter().any(|name| **name == ident),
        TokenTree::Group(group) => mentions(group.stream(), names),
        _ => false,
    })
}

/// Collects the parameters of `generics` that occur in field types, and the projections from them
/// (`T::Item`, `<T as Trait>::Item`), each once and in order.
pub(crate) struct UsedTypes<'a> {
    params: Vec<&'a Ident>,
    seen: HashSet<String>,
    types: Vec<Type>,
}

impl<'a> UsedTypes<'a> {
    pub(crate) fn in_fields<'t>(
        generics: &'a Generics,
        fields: impl Iterator<Item = &'t Type>,
    ) -> Vec<Type> {
        let params = generics.type_params().map(|param| &param.ident).collect();
        let mut used = UsedTypes { params, seen: HashSet::new(), types: Vec::new() };
        fields.for_each(|field| used.visit_type(field));
        used.types
    }

    fn add(&mut self, ty: Type) {
        if self.seen.insert(ty.to_token_stream().to_string()) {
            self.types.push(ty);
        }
    }

    fn begins_with_param(&self, path: &Path) -> bool {
        path.leading_colon.is_none() && self.params.contains(&&path.segments[0].ident)
    }
}

impl Visit<'_> for UsedTypes<'_> {
    fn visit_type_path(&mut self, ty: &TypePath) {
        let projection = ty.qself.is_some() && mentions(ty.to_token_stream(), &self.params);
        if projection || self.begins_with_param(&ty.path) {
            self.add(Type::Path(ty.clone()));
        } else if ty.path.segments.last().is_none_or(|last| last.ident != "PhantomData") {
            visit::visit_type_path(self, ty);
        }
    }

    fn visit_macro(&mut self, mac: &Macro) {
        for param in self.params.clone() {
            if mentions(mac.tokens.clone(), &[param]) {
                self.add(parse_quote!(#param));
            }
        }
    }

    // None of these owns a value of the parameters that it names: a bound would be a false one.
    fn visit_type_bare_fn(&mut self, _: &TypeBareFn) {}
    fn visit_type_ptr(&mut self, _: &TypePtr) {}
    fn visit_type_reference(&mut self, _: &TypeReference) {}
    fn visit_type_trait_object(&mut self, _: &TypeTraitObject) {}
}

/// `generics` with everything in it `'static`, as `Trace` demands, and with `predicates`.
pub(crate) fn bounded<'p>(
    generics: &Generics,
    predicates: impl IntoIterator<Item = &'p WherePredicate>,
) -> Generics {
    let mut bounded = generics.clone();
    let clause = bounded.make_where_clause();
    clause.predicates.extend(generics.params.iter().filter_map(static_bound));
    clause.predicates.extend(predicates.into_iter().cloned());
    bounded
}

fn static_bound(param: &GenericParam) -> Option<WherePredicate> {
    match param {
        GenericParam::Lifetime(param) => {
            let lifetime = &param.lifetime;
            Some(parse_quote!(#lifetime: 'static))
        }
        GenericParam::Type(param) => {
            let ident = &param.ident;
            Some(parse_quote!(#ident: 'static))
        }
        GenericParam::Const(_) => None,
    }
}

/// The parameters that are declared `?Sized`.
pub(crate) fn unsized_params(generics: &Generics) -> Vec<&Ident> {
    generics.type_params().filter(|param| is_unsized(param, generics)).map(|p| &p.ident).collect()
}

fn is_unsized(param: &TypeParam, generics: &Generics) -> bool {
    let ident = &param.ident;
    let relaxed = |bound: &TypeParamBound| {
        matches!(bound, TypeParamBound::Trait(bound)
            if matches!(bound.modifier, syn::TraitBoundModifier::Maybe(_)))
    };
    let in_clause = |predicate: &WherePredicate| match predicate {
        WherePredicate::Type(ty) => {
            ty.bounded_ty.to_token_stream().to_string() == quote!(#ident).to_string()
                && ty.bounds.iter().any(relaxed)
        }
        _ => false,
    };
    param.bounds.iter().any(relaxed)
        || generics.where_clause.iter().flat_map(|clause| &clause.predicates).any(in_clause)
}
