//! Which module of a crate names which other, read from its paths.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::source::{FILES, SourceFile};

pub(crate) type Module = Vec<String>;

/// Every pair of modules of `package` of which the first names something in the second, without tests.
pub(crate) fn edges(package: &str) -> BTreeSet<(Module, Module)> {
    let sources = || {
        let sources = FILES.iter().filter(|file| file.is_source);
        sources.filter(|file| file.package == package && !file.module.ends_with(&["tests".into()]))
    };
    let modules: BTreeSet<&Module> = sources().map(|file| &file.module).collect();
    let scopes: BTreeMap<&Module, Scope> = sources()
        .map(|file| (&file.module, Scope::of(file)))
        .collect();
    let mut edges = BTreeSet::new();
    for (&from, scope) in &scopes {
        for path in &scope.paths {
            if let Some(to) = resolve(path, &modules, &scopes)
                && to != *from
            {
                edges.insert((from.clone(), to));
            }
        }
    }
    edges
}

/// The module in which `path` ends, through the `pub use` of the modules on its way.
fn resolve(
    path: &Module,
    modules: &BTreeSet<&Module>,
    scopes: &BTreeMap<&Module, Scope>,
) -> Option<Module> {
    let mut path = path.clone();
    // A chain of re-exports longer than this would be a riddle of its own.
    for _ in 0..8 {
        let depth = (0..=path.len())
            .rev()
            .find(|&n| modules.contains(&path[..n].to_vec()))?;
        let module = path[..depth].to_vec();
        let reexport = path
            .get(depth)
            .and_then(|name| scopes[&module].reexports.get(name));
        match reexport {
            Some(target) => {
                path = target.iter().chain(&path[depth + 1..]).cloned().collect();
            }
            None => return Some(module),
        }
    }
    None
}

/// What one file names.
struct Scope {
    module: Module,
    /// Absolute paths inside the crate.
    paths: BTreeSet<Module>,
    /// Names that other modules can use as if they were this one's.
    reexports: BTreeMap<String, Module>,
}

impl Scope {
    fn of(file: &SourceFile) -> Self {
        let mut scope = Self {
            module: file.module.clone(),
            paths: BTreeSet::new(),
            reexports: BTreeMap::new(),
        };
        scope.visit_file(&file.syntax());
        scope
    }

    /// `crate::…`, `self::…` and `super::…` as a path from the crate's root.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let mut absolute = self.module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => absolute.clear(),
            "self" => {}
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    absolute.pop();
                    rest = &rest[1..];
                }
                absolute.extend_from_slice(rest);
                return Some(absolute);
            }
            _ => return None,
        }
        absolute.extend_from_slice(&rest[1..]);
        Some(absolute)
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String], is_public: bool) {
        let mut path = before.to_vec();
        match tree {
            syn::UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.import(&tree.tree, &path, is_public);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, is_public);
                }
            }
            syn::UseTree::Name(name) => {
                if name.ident != "self" {
                    path.push(name.ident.to_string());
                }
                self.add(&path, is_public.then(|| path[path.len() - 1].clone()));
            }
            syn::UseTree::Rename(rename) => {
                path.push(rename.ident.to_string());
                self.add(&path, is_public.then(|| rename.rename.to_string()));
            }
            syn::UseTree::Glob(_) => self.add(&path, None),
        }
    }

    fn add(&mut self, path: &[String], reexported_as: Option<String>) {
        // `pub use child::Name`, where `child` is a module of this one, needs no `self::`.
        let of_child = || {
            let absolute = self.module.iter().chain(path).cloned().collect();
            reexported_as.as_ref().map(|_| absolute)
        };
        let Some(absolute) = self.absolute(path).or_else(of_child) else {
            return;
        };
        if let Some(name) = reexported_as {
            self.reexports.insert(name, absolute.clone());
        }
        self.paths.insert(absolute);
    }
}

impl<'ast> Visit<'ast> for Scope {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &[], is_public);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if let Some(absolute) = self.absolute(&names) {
            self.paths.insert(absolute);
        }
        visit::visit_path(self, path);
    }

    /// The code in `tokio::select!` and the arguments of `println!` name things too.
    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        let text = invocation.tokens.to_string().replace(" :: ", "::");
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for path in text.split(|c| !is_part(c)) {
            let names: Vec<String> = path.split("::").map(str::to_owned).collect();
            if names.len() > 1
                && let Some(absolute) = self.absolute(&names)
            {
                self.paths.insert(absolute);
            }
        }
        visit::visit_macro(self, invocation);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // Unit tests may look into everything.
        if item.ident != "tests" && item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }
}
