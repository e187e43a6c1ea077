//! One walk over a parsed Rust file: the functions, paths, macro calls and modules that the rules
//! ask about.
//!
//! Each thing found carries its line and whether it is test code (inside `#[cfg(test)]` or a
//! `#[test]` function; that a whole file is test code is the source's to know). What stands inside
//! a macro's arguments or definition is not code to the parser and is not seen, except the word
//! `unsafe`, which is looked for among all tokens.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemUse, Macro, Meta, TraitItemFn,
    UseTree,
};

/// What a Rust file holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) functions: Vec<Function>,
    /// Every path, imported or used, written with `::`.
    pub(crate) paths: Vec<Spot>,
    /// Every macro that is called, by its last name.
    pub(crate) macros: Vec<Spot>,
    /// The modules that are declared here and live in another file.
    pub(crate) modules: Vec<String>,
    /// The lines that hold the keyword `unsafe`.
    pub(crate) unsafe_lines: Vec<usize>,
    /// The words of each inner attribute of the file, such as `forbid unsafe_code`.
    pub(crate) inner_attributes: Vec<String>,
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The first line of its attributes and documentation.
    pub(crate) head_line: usize,
    /// The line of `fn`.
    pub(crate) first_line: usize,
    pub(crate) last_line: usize,
    pub(crate) in_test: bool,
}

/// A name at a place.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
}

impl Survey {
    /// Parses and walks; an error is the line and what the parser says.
    pub(crate) fn of(text: &str) -> Result<Self, (usize, String)> {
        let told = |error: syn::Error| (error.span().start().line, error.to_string());
        let file = syn::parse_file(text).map_err(told)?;
        let mut walk = Walk {
            survey: Self::default(),
            test_depth: 0,
        };
        walk.visit_file(&file);
        let mut survey = walk.survey;
        survey.inner_attributes = file.attrs.iter().map(words).collect();
        if text.contains("unsafe") {
            let tokens = text
                .parse::<TokenStream>()
                .map_err(|error| (0, error.to_string()))?;
            collect_unsafe(tokens, &mut survey.unsafe_lines);
        }
        Ok(survey)
    }
}

struct Walk {
    survey: Survey,
    test_depth: usize,
}

impl Walk {
    fn inside(&mut self, is_test: bool, walk: impl FnOnce(&mut Self)) {
        self.test_depth += usize::from(is_test);
        walk(self);
        self.test_depth -= usize::from(is_test);
    }

    fn function(
        &mut self,
        name: &syn::Ident,
        at: &syn::Token![fn],
        attrs: &[Attribute],
        body: &Block,
    ) {
        let first_line = at.span.start().line;
        let head_line = attrs.iter().map(line_of).min().unwrap_or(first_line);
        self.survey.functions.push(Function {
            name: name.to_string(),
            head_line: head_line.min(first_line),
            first_line,
            last_line: body.brace_token.span.close().end().line,
            in_test: self.test_depth > 0,
        });
    }

    fn spot(&self, name: String, line: usize) -> Spot {
        Spot {
            name,
            line,
            in_test: self.test_depth > 0,
        }
    }

    fn import(&mut self, prefix: &str, tree: &UseTree) {
        let joined = |name: &syn::Ident| match prefix {
            "" => name.to_string(),
            _ => format!("{prefix}::{name}"),
        };
        match tree {
            UseTree::Path(path) => self.import(&joined(&path.ident), &path.tree),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(prefix, tree);
                }
            }
            UseTree::Name(name) => self.imported(&joined(&name.ident), &name.ident),
            UseTree::Rename(name) => self.imported(&joined(&name.ident), &name.ident),
            UseTree::Glob(glob) => {
                let line = glob.star_token.span.start().line;
                let spot = self.spot(format!("{prefix}::*"), line);
                self.survey.paths.push(spot);
            }
        }
    }

    fn imported(&mut self, path: &str, last: &syn::Ident) {
        // `use std::fs::{self}` names `std::fs`.
        let path = path.strip_suffix("::self").unwrap_or(path).to_owned();
        let spot = self.spot(path, last.span().start().line);
        self.survey.paths.push(spot);
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.inside(item.attrs.iter().any(marks_test), |walk| {
            walk.function(
                &item.sig.ident,
                &item.sig.fn_token,
                &item.attrs,
                &item.block,
            );
            visit::visit_item_fn(walk, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.inside(item.attrs.iter().any(marks_test), |walk| {
            walk.function(
                &item.sig.ident,
                &item.sig.fn_token,
                &item.attrs,
                &item.block,
            );
            visit::visit_impl_item_fn(walk, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig.ident, &item.sig.fn_token, &item.attrs, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_none() {
            self.survey.modules.push(item.ident.to_string());
        }
        self.inside(item.attrs.iter().any(marks_test), |walk| {
            visit::visit_item_mod(walk, item);
        });
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.inside(item.attrs.iter().any(marks_test), |walk| {
            visit::visit_item_impl(walk, item);
        });
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.inside(item.attrs.iter().any(marks_test), |walk| {
            walk.import("", &item.tree);
        });
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            let line = first.ident.span().start().line;
            let spot = self.spot(join(path), line);
            self.survey.paths.push(spot);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(last) = call.path.segments.last() {
            let line = last.ident.span().start().line;
            let spot = self.spot(last.ident.to_string(), line);
            self.survey.macros.push(spot);
        }
        visit::visit_macro(self, call);
    }
}

fn join(path: &syn::Path) -> String {
    let names: Vec<String> = path
        .segments
        .iter()
        .map(|part| part.ident.to_string())
        .collect();
    names.join("::")
}

fn line_of(attribute: &Attribute) -> usize {
    attribute.pound_token.spans[0].start().line
}

/// Whether an attribute makes its item test code: `#[test]` or `#[cfg(test)]`, also combined as in
/// `all(test, unix)`.
fn marks_test(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let words = flat(list.tokens.clone());
            words.iter().any(|word| word == "test") && !words.iter().any(|word| word == "not")
        }
        _ => false,
    }
}

/// The words of an attribute in order, without punctuation.
fn words(attribute: &Attribute) -> String {
    match &attribute.meta {
        Meta::Path(path) => join(path),
        Meta::List(list) => {
            let mut words = vec![join(&list.path)];
            words.extend(flat(list.tokens.clone()));
            words.join(" ")
        }
        Meta::NameValue(pair) => join(&pair.path),
    }
}

fn flat(tokens: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => words.extend(flat(group.stream())),
            TokenTree::Ident(ident) => words.push(ident.to_string()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    words
}

fn collect_unsafe(tokens: TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect_unsafe(group.stream(), lines),
            TokenTree::Ident(ident) if ident == "unsafe" => lines.push(ident.span().start().line),
            _ => {}
        }
    }
}
