//! From a type's definition to its impls of `Trace` and `TraceInfo`.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, Generics, Ident, Index, Member, Result, Token, Type,
    Variant, WherePredicate, parse_quote,
};

use crate::attributes::{Role, TypeAttributes, parse_variant};
use crate::bounds::{UsedTypes, bounded, mentions, unsized_params};

/// Everything that the output depends on.
struct Definition<'a> {
    name: &'a Ident,
    generics: &'a Generics,
    attributes: TypeAttributes,
    variants: Vec<TracedVariant<'a>>,
}

/// A variant of an enum, or the one of a struct.
struct TracedVariant<'a> {
    /// The path of its constructor: `Self` or `Self::Variant`.
    path: TokenStream,
    /// None if the variant is skipped.
    fields: Vec<TracedField<'a>>,
}

struct TracedField<'a> {
    member: Member,
    ty: &'a Type,
    role: Role,
    /// Whether its type mentions the type that it is in. Then the constant of the one would depend on
    /// that of the other.
    recursive: bool,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let definition = Definition::parse(input)?;
    definition.check()?;
    let trace = definition.impl_trace();
    let info = definition.impl_info();
    let bans = definition.bans();
    let TypeAttributes { krate, allows, .. } = &definition.attributes;
    Ok(quote! {
        #(#allows)*
        const _: () = {
            use #krate::__private::{EdgesOfInfo as _, Fallback as _};
            #trace
            #info
            #bans
        };
    })
}

// What the user wrote.

impl<'a> Definition<'a> {
    fn parse(input: &'a DeriveInput) -> Result<Self> {
        let variants = match &input.data {
            Data::Struct(data) => {
                let fields = parse_fields(&data.fields, &input.ident)?;
                vec![TracedVariant { path: quote!(Self), fields }]
            }
            Data::Enum(data) => {
                let parse = |variant| parse_enum_variant(variant, &input.ident);
                data.variants.iter().map(parse).collect::<Result<_>>()?
            }
            Data::Union(data) => {
                let message = "`Trace` cannot be derived for a union: which of its fields holds the \
                               edges is not known";
                return Err(Error::new(data.union_token.span, message));
            }
        };
        let attributes = TypeAttributes::parse(&input.attrs)?;
        Ok(Self { name: &input.ident, generics: &input.generics, attributes, variants })
    }

    /// Refuses what can be seen to be wrong without knowing the types.
    fn check(&self) -> Result<()> {
        for field in self.fields() {
            match &field.role {
                Role::Leaf if field.recursive => {
                    let message = "a `leaf` field must not mention the type that it is in: whether \
                                   that one has edges would depend on itself; use `skip`";
                    return Err(Error::new_spanned(field.ty, message));
                }
                Role::With(_, span) if self.is_silent() => {
                    let message =
                        "`unsafe(with)` is never called: a `leaf` or `drop` type is not traced";
                    return Err(Error::new(*span, message));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fields(&self) -> impl Iterator<Item = &TracedField<'a>> {
        self.variants.iter().flat_map(|variant| &variant.fields)
    }

    /// Whether `trace` reports nothing. Then what `Drop` can reach counts as held from outside, which is
    /// why it is harmless.
    fn is_silent(&self) -> bool {
        self.attributes.leaf || self.attributes.drop
    }

    /// Fields that are traced by their own `Trace`.
    fn traced(&self) -> impl Iterator<Item = &TracedField<'a>> {
        self.fields().filter(|field| matches!(field.role, Role::Traced) && !self.is_silent())
    }

    /// Fields of which it is asserted that they lead to no edges.
    fn asserted(&self) -> impl Iterator<Item = &TracedField<'a>> {
        self.fields().filter(|field| match field.role {
            Role::Leaf => true,
            Role::Traced => self.is_silent() && !field.recursive,
            _ => false,
        })
    }
}

fn parse_enum_variant<'a>(variant: &'a Variant, name: &Ident) -> Result<TracedVariant<'a>> {
    let ident = &variant.ident;
    let skipped = parse_variant(&variant.attrs)?;
    // Parsed even if they are not used: a mistake in their attributes stays one.
    let mut fields = parse_fields(&variant.fields, name)?;
    fields.retain(|_| !skipped);
    Ok(TracedVariant { path: quote!(Self::#ident), fields })
}

fn parse_fields<'a>(fields: &'a Fields, name: &Ident) -> Result<Vec<TracedField<'a>>> {
    let parse = |(index, field)| parse_field(index, field, name);
    fields.iter().enumerate().map(parse).collect()
}

fn parse_field<'a>(index: usize, field: &'a Field, name: &Ident) -> Result<TracedField<'a>> {
    let member = match &field.ident {
        Some(ident) => Member::Named(ident.clone()),
        None => Member::Unnamed(Index::from(index)),
    };
    let this = Ident::new("Self", Span::call_site());
    let recursive = mentions(field.ty.to_token_stream(), &[name, &this]);
    Ok(TracedField { member, ty: &field.ty, role: Role::parse(&field.attrs)?, recursive })
}

// What is written for it.

impl Definition<'_> {
    fn impl_trace(&self) -> TokenStream {
        let (name, krate) = (self.name, &self.attributes.krate);
        let generics = bounded(self.generics, &self.trace_bounds());
        let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
        let tracer = Ident::new("__tracer", Span::mixed_site());
        let body = self.trace_body(&tracer);
        let method = quote! {
            #[inline]
            fn trace(&self, #tracer: &mut #krate::Tracer<'_>) {
                #body
            }
        };
        // The first and the last token decide whose code the impl is to lints.
        let span = self.unsafe_span();
        let unsafe_token = Token![unsafe](span);
        let mut block = Group::new(Delimiter::Brace, method);
        block.set_span(span);
        quote! {
            #[automatically_derived]
            #[allow(deprecated, clippy::use_self)]
            #unsafe_token impl #impl_generics #krate::Trace for #name #ty_generics #where_clause #block
        }
    }

    /// An `unsafe` in an attribute counts as the user's own for `#![forbid(unsafe_code)]`, so the impl
    /// takes its place. Otherwise it is the macro's, and as such passes.
    fn unsafe_span(&self) -> Span {
        let with = |field: &TracedField<'_>| match field.role {
            Role::With(_, span) => Some(span),
            _ => None,
        };
        let written = self.attributes.unsafe_drop.or_else(|| self.fields().find_map(with));
        written.unwrap_or_else(Span::mixed_site)
    }

    fn trace_body(&self, tracer: &Ident) -> TokenStream {
        let arms: Vec<_> =
            self.variants.iter().filter_map(|variant| self.trace_arm(variant, tracer)).collect();
        if arms.is_empty() {
            return TokenStream::new();
        }
        let rest = (arms.len() < self.variants.len()).then(|| quote!(_ => {}));
        quote!(match self { #(#arms)* #rest })
    }

    /// The match arm of a variant, if anything in it is traced.
    fn trace_arm(&self, variant: &TracedVariant<'_>, tracer: &Ident) -> Option<TokenStream> {
        let path = &variant.path;
        let (mut members, mut bindings, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for (index, field) in variant.fields.iter().enumerate() {
            let binding = format_ident!("__field_{index}", span = Span::mixed_site());
            if let Some(call) = self.trace_call(field, &binding, tracer) {
                members.push(&field.member);
                bindings.push(binding);
                calls.push(call);
            }
        }
        let traced = !calls.is_empty();
        traced.then(|| quote!(#path { #(#members: #bindings,)* .. } => { #(#calls)* }))
    }

    fn trace_call(
        &self,
        field: &TracedField<'_>,
        binding: &Ident,
        tracer: &Ident,
    ) -> Option<TokenStream> {
        let (ty, krate) = (field.ty, &self.attributes.krate);
        match &field.role {
            // The type is spelled out so that an error shows the field, not the derive.
            Role::Traced if !self.is_silent() => Some(quote! {
                if <#krate::__private::Probe<#ty>>::NEEDS {
                    <#ty as #krate::Trace>::trace(#binding, #tracer);
                }
            }),
            Role::With(path, _) => Some(quote!(#path(#binding, #tracer);)),
            _ => None,
        }
    }

    fn impl_info(&self) -> TokenStream {
        let (name, krate) = (self.name, &self.attributes.krate);
        let generics = bounded(self.generics, &self.info_bounds());
        let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
        let assertions: Vec<_> = self.asserted().map(|field| self.assertion(field)).collect();
        let needs_trace = self.needs_trace();
        let finalize = self.attributes.finalize.then(|| {
            quote! {
                const FINALIZE: ::core::option::Option<#krate::__private::FinalizeFn<Self>> =
                    ::core::option::Option::Some(#krate::__private::finalizer::<Self>());
            }
        });
        // A constant in an impl is evaluated when it is used; that of a generic type has to wait.
        let now = (self.generics.params.is_empty() && !assertions.is_empty())
            .then(|| quote!(const _: bool = <#name as #krate::TraceInfo>::NEEDS_TRACE;));
        quote! {
            #[automatically_derived]
            #[allow(deprecated, clippy::use_self)]
            impl #impl_generics #krate::TraceInfo for #name #ty_generics #where_clause {
                const NEEDS_TRACE: bool = { #(#assertions)* #needs_trace };
                #finalize
            }
            #now
        }
    }

    fn needs_trace(&self) -> TokenStream {
        if self.always_needs_trace() {
            return quote!(true);
        }
        let krate = &self.attributes.krate;
        let fields = self.traced().map(|field| field.ty);
        quote!(false #(|| <#krate::__private::Probe<#fields>>::NEEDS)*)
    }

    /// Whether the answer is known before the fields are asked.
    fn always_needs_trace(&self) -> bool {
        self.attributes.finalize
            || self.attributes.edges
            || self.traced().any(|field| field.recursive)
            || self.fields().any(|field| matches!(field.role, Role::With(..)))
    }

    fn assertion(&self, field: &TracedField<'_>) -> TokenStream {
        let (name, krate, ty) = (self.name, &self.attributes.krate, field.ty);
        let member = field.member.to_token_stream();
        let attribute = match field.role {
            Role::Leaf => "#[trace(leaf)]` on the field",
            _ if self.attributes.leaf => "#[trace(leaf)]` on the type",
            _ => "#[trace(drop)]` on the type",
        };
        let message =
            format!("`{name}::{member}` may hold edges, but `{attribute} says it does not");
        let span = ty.span().resolved_at(Span::mixed_site());
        let edges = quote!(<#krate::__private::Edges<#ty>>::EDGES);
        quote_spanned!(span=> ::core::assert!(!#edges, #message);)
    }

    fn trace_bounds(&self) -> Vec<WherePredicate> {
        let krate = &self.attributes.krate;
        if let Some(bound) = &self.attributes.bound {
            return bound.iter().cloned().collect();
        }
        let used = UsedTypes::in_fields(self.generics, self.traced().map(|field| field.ty));
        used.iter().map(|ty| parse_quote!(#ty: #krate::Trace)).collect()
    }

    /// Those of `Trace`, and `TraceInfo` for what `NEEDS_TRACE` asks.
    fn info_bounds(&self) -> Vec<WherePredicate> {
        let krate = &self.attributes.krate;
        let mut bounds = self.trace_bounds();
        let unsized_params = unsized_params(self.generics);
        if !unsized_params.is_empty() {
            bounds.push(parse_quote!(Self: ::core::marker::Sized));
        }
        if self.attributes.bound.is_some() {
            return bounds;
        }
        let asked = self.traced().filter(|_| !self.always_needs_trace()).chain(self.asserted());
        let used = UsedTypes::in_fields(self.generics, asked.map(|field| field.ty));
        let is_sized = |ty: &&Type| !is_one_of(ty, &unsized_params);
        bounds.extend(used.iter().filter(is_sized).map(|ty| parse_quote!(#ty: #krate::TraceInfo)));
        bounds
    }

    /// Impls that conflict with an impl of `Drop`, and with one of `Finalize` that nobody would call. The
    /// error shows the names of these traits, so the names say it all.
    fn bans(&self) -> TokenStream {
        let (attributes, krate) = (&self.attributes, &self.attributes.krate);
        let may_drop = attributes.drop || attributes.unsafe_drop.is_some();
        let drop = (!may_drop).then(|| {
            self.ban(
                "types_with_edges_must_not_implement_Drop_use_Finalize_instead",
                &quote!(::core::ops::Drop),
            )
        });
        let finalize = (!attributes.finalize).then(|| {
            self.ban(
                "types_that_implement_Finalize_must_say_trace_finalize",
                &quote!(#krate::Finalize),
            )
        });
        quote!(#drop #finalize)
    }

    fn ban(&self, explanation: &str, banned: &TokenStream) -> TokenStream {
        let name = self.name;
        let explanation = Ident::new(explanation, Span::call_site());
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        quote! {
            trait #explanation {}
            impl<T: ?::core::marker::Sized + #banned> #explanation for T {}
            #[allow(deprecated, single_use_lifetimes, clippy::use_self)]
            impl #impl_generics #explanation for #name #ty_generics #where_clause {}
        }
    }
}

/// Whether `ty` is one of `params`.
fn is_one_of(ty: &Type, params: &[&Ident]) -> bool {
    matches!(ty, Type::Path(path) if params.iter().any(|param| path.path.is_ident(*param)))
}
