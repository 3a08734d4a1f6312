//! Errors of the library print their sentence, whatever prints them.

use crate::assert_none;
use crate::source::FILES;

#[test]
fn an_error_of_the_library_is_its_sentence_in_debug_too() {
    let mut found = Vec::new();
    for file in FILES
        .iter()
        .filter(|file| file.package == "crates/sockeye" && file.is_source)
    {
        for item in file.syntax().items {
            let (name, attributes) = match &item {
                syn::Item::Enum(item) => (&item.ident, &item.attrs),
                syn::Item::Struct(item) => (&item.ident, &item.attrs),
                _ => continue,
            };
            let derives = derives_of(attributes);
            let derives = |wanted: &str| derives.iter().any(|derived| derived == wanted);
            let is_error = derives("Error") || file.text.contains(&format!("Error for {name} {{"));
            let prints = format!("debug_as_display!({name});");
            if is_error && (derives("Debug") || !file.text.contains(&prints)) {
                found.push(format!("{name} in {}", file.path));
            }
        }
    }
    assert_none(
        &found,
        "Derive no Debug, but call crate::error_debug::debug_as_display!, so that main and unwrap print the sentence of:",
    );
}

/// The last parts of the names that are derived.
fn derives_of(attributes: &[syn::Attribute]) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            let _ = attribute.parse_nested_meta(|meta| {
                let last = meta.path.segments.last();
                found.extend(last.map(|segment| segment.ident.to_string()));
                Ok(())
            });
        }
    }
    found
}
