//! Lengths of files and functions, and where unsafe code may stand.

use syn::visit::{self, Visit};

use crate::assert_none;
use crate::source::{FILES, SourceFile};

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 400;
const EXAMPLE_LINES: usize = 99;

#[test]
fn no_file_is_longer_than_a_second_look() {
    let long = FILES
        .iter()
        .filter(|file| file.text.lines().count() > FILE_LINES);
    let long: Vec<_> = long
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect();
    assert_none(
        &long,
        "Split files of more than 400 lines by noun, one subject a file:",
    );
}

#[test]
fn no_example_is_longer_than_its_reader_is_patient() {
    let is_example = |path: &str| {
        let path = path.strip_prefix("crates/sockeye/").unwrap_or(path);
        let name = path.strip_prefix("examples/");
        name.is_some_and(|name| !name.contains('/'))
    };
    let long = FILES
        .iter()
        .filter(|file| is_example(&file.path) && file.text.lines().count() > EXAMPLE_LINES);
    let long: Vec<_> = long
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect();
    assert_none(
        &long,
        "Leave out of examples of 100 lines or more what is not their subject:",
    );
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for file in FILES.iter() {
        let mut functions = Functions {
            file,
            long: &mut long,
        };
        functions.visit_file(&file.syntax());
    }
    assert_none(
        &long,
        "Give the steps of functions of more than 70 lines names of their own:",
    );
}

#[test]
fn unsafe_code_stands_in_sys_alone() {
    let mut found = Vec::new();
    for file in FILES
        .iter()
        .filter(|file| !file.path.starts_with("crates/sockeye/src/sys/"))
    {
        let mut unsafes = Unsafes {
            file,
            found: &mut found,
        };
        unsafes.visit_file(&file.syntax());
    }
    assert_none(
        &found,
        "Move unsafe code to crates/sockeye/src/sys/, behind a function that is safe to call:",
    );
}

struct Functions<'a> {
    file: &'a SourceFile,
    long: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let from = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - from + 1;
        if lines > FUNCTION_LINES {
            let name = &signature.ident;
            let path = &self.file.path;
            self.long
                .push(format!("{path}:{from}: {name} has {lines} lines"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

struct Unsafes<'a> {
    file: &'a SourceFile,
    found: &'a mut Vec<String>,
}

impl Unsafes<'_> {
    fn add(&mut self, span: proc_macro2::Span) {
        self.found
            .push(format!("{}:{}", self.file.path, span.start().line));
    }
}

impl<'ast> Visit<'ast> for Unsafes<'_> {
    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.add(block.unsafe_token.span);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.add(token.span);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let syn::Safety::Unsafe(token) = &signature.safety {
            self.add(token.span);
        }
        visit::visit_signature(self, signature);
    }
}
