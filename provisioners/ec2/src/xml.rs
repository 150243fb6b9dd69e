//! An XML answer as a tree of elements: names without their prefixes, texts, no attributes (the Query protocol has none that
//! matter).

use machine_core::{Error, Result};
use quick_xml::Reader;
use quick_xml::events::Event;

/// Deeper than any answer; keeps a hostile one from filling the stack when the tree is dropped.
const DEEPEST: usize = 64;

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document; returns its root.
    ///
    /// # Errors
    /// What is no XML, is cut short, or is nested beyond reason.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let wrong =
            |what: &dyn std::fmt::Display| Error::other(format!("the answer is not the XML that was expected: {what}"));
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(&error))?;
        let mut reader = Reader::from_str(text);
        // The outermost one stands for the document.
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|error| wrong(&error))? {
                Event::Start(start) => {
                    if open.len() > DEEPEST {
                        return Err(wrong(&"it is nested too deep"));
                    }
                    let name = start.local_name().as_ref().to_owned();
                    open.push(Self { name, ..Self::default() });
                }
                Event::Empty(empty) => {
                    let name = empty.local_name().as_ref().to_owned();
                    if let Some(parent) = open.last_mut() {
                        parent.children.push(Self { name, ..Self::default() });
                    }
                }
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Event::CData(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().map_err(|error| wrong(&error))?;
                    let meant = match (character, &*reference) {
                        (Some(character), _) => character,
                        (None, "lt") => '<',
                        (None, "gt") => '>',
                        (None, "amp") => '&',
                        (None, "quot") => '"',
                        (None, "apos") => '\'',
                        (None, other) => return Err(wrong(&format!("the entity {other:?} is unknown"))),
                    };
                    if let Some(element) = open.last_mut() {
                        element.text.push(meant);
                    }
                }
                Event::End(_) => {
                    let (Some(mut element), Some(parent)) = (open.pop(), open.last_mut()) else {
                        return Err(wrong(&"an element ends that has not begun"));
                    };
                    element.text = element.text.trim().to_owned();
                    parent.children.push(element);
                }
                Event::Eof => break,
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(document), true) => document.children.into_iter().next().ok_or_else(|| wrong(&"it is empty")),
            _ => Err(wrong(&"it is cut short")),
        }
    }

    /// The first child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// What lies at the end of a path of names; nothing where it breaks off.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The text at the end of a path; `None` where there is none.
    pub(crate) fn text(&self, path: &[&str]) -> Option<String> {
        self.at(path).map(|element| element.text.clone()).filter(|text| !text.is_empty())
    }

    /// The same, empty where there is none.
    pub(crate) fn text_or_empty(&self, path: &[&str]) -> String {
        self.text(path).unwrap_or_default()
    }

    /// The children called `name` at the end of a path.
    pub(crate) fn all<'a>(&'a self, path: &[&str], name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.at(path).into_iter().flat_map(|element| &element.children).filter(move |child| child.name == name)
    }

    /// The list at the end of a path; EC2 calls its members `item`.
    pub(crate) fn items<'a>(&'a self, path: &[&str]) -> impl Iterator<Item = &'a Self> {
        self.all(path, "item")
    }

    /// Its own text.
    pub(crate) fn own_text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_found_by_their_path_whatever_their_prefix() {
        let answer = br#"<?xml version="1.0" encoding="UTF-8"?>
            <r:Response xmlns:r="http://ec2.amazonaws.com/doc/2016-11-15/"><set><item><id> a &lt;&#65;&amp; </id></item>
            <item><id><![CDATA[<b>]]></id><none/></item></set></r:Response>"#;
        let root = Element::parse(answer).unwrap();
        let ids: Vec<_> = root.items(&["set"]).map(|item| item.text_or_empty(&["id"])).collect();
        assert_eq!(ids, ["a <A&", "<b>"]);
        assert_eq!((root.text(&["set", "no"]), root.items(&["no"]).count()), (None, 0));
    }

    #[test]
    fn what_is_cut_short_or_nested_beyond_reason_is_refused() {
        for wrong in ["", "no xml", "<a>", "<a><b></a></b>", "</a>", "<a>&nope;</a>", "<a", &"<a>".repeat(100_000)] {
            assert!(Element::parse(wrong.as_bytes()).is_err(), "{wrong:.20}");
        }
        assert!(Element::parse(b"<a>\xff</a>").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _either_way = Element::parse(&bytes);
        }

        #[test]
        fn anything_that_looks_like_markup_survives(text in "(<[a-c/!?]{0,3}[a-c&;#\\[\\]-]{0,4}>?|[a-c&;#x0-9]{0,4}){0,60}") {
            let _either_way = Element::parse(text.as_bytes());
        }

        #[test]
        fn every_text_that_is_escaped_comes_back(text in "[^\u{0}-\u{1f}]{0,40}") {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let root = Element::parse(format!("<a><b>{escaped}</b></a>").as_bytes()).unwrap();
            prop_assert_eq!(root.text_or_empty(&["b"]), text.trim());
        }
    }
}
