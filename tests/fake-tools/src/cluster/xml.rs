//! A document that can be changed as Pacemaker's patches say. Invariant: a path that leads nowhere, or a change that is not
//! known, is an error, and nothing of that patch is done.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Xml {
    /// Its name.
    pub name: String,
    /// Its attributes, in order.
    pub attributes: Vec<(String, String)>,
    /// The elements in it, in order.
    pub children: Vec<Xml>,
}

impl Xml {
    /// Reads a document.
    #[must_use]
    pub fn parse(text: &str) -> Xml {
        Xml::read(text).unwrap_or_else(|why| panic!("{why}: {text}"))
    }

    /// Reads a document, or says what is wrong with it.
    pub(super) fn read(text: &str) -> Result<Xml, String> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Xml> = vec![Xml::default()];
        let place = |open: &mut Vec<Xml>, element: Xml| match open.last_mut() {
            Some(around) => around.children.push(element),
            None => unreachable!("the document itself is never closed"),
        };
        loop {
            match reader.read_event().map_err(|why| why.to_string())? {
                Event::Start(start) => open.push(element(&start)?),
                Event::Empty(start) => {
                    let element = element(&start)?;
                    place(&mut open, element);
                }
                Event::End(_) => {
                    let done = open.pop().ok_or("too many ends")?;
                    place(&mut open, done);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let [document] = &mut open[..] else { return Err("cut off".to_owned()) };
        document.children.pop().ok_or_else(|| "nothing".to_owned())
    }

    /// An attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let row = self.attributes.iter().find(|(known, _)| known == name);
        row.map(|(_, value)| value.as_str())
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: &str) {
        self.attributes.retain(|(known, _)| known != name);
        self.attributes.push((name.to_owned(), value.to_owned()));
    }

    /// The element on this path, as `/cib/status/node_state[@id='1']`, which begins with this one.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(&mut self, path: &str) -> Result<&mut Xml, String> {
        let nowhere = || format!("nothing is at {path}");
        let mut steps = steps(path).into_iter();
        let mut at = match steps.next() {
            Some(step) if self.is(&step) => self,
            _ => return Err(nowhere()),
        };
        for step in steps {
            at = at.children.iter_mut().find(|child| child.is(&step)).ok_or_else(nowhere)?;
        }
        Ok(at)
    }

    fn is(&self, (name, id): &(String, Option<String>)) -> bool {
        self.name == *name && id.as_deref().is_none_or(|id| self.get("id") == Some(id))
    }

    /// Does what the `<change>`s of a patch say.
    pub(super) fn patch(&mut self, patch: &Xml) -> Result<(), String> {
        let mut changed = self.clone();
        for change in patch.children.iter().filter(|child| child.name == "change") {
            changed.change(change)?;
        }
        *self = changed;
        Ok(())
    }

    fn change(&mut self, change: &Xml) -> Result<(), String> {
        let path = change.get("path").ok_or("a change without a path")?;
        match change.get("operation") {
            Some("create") => {
                let new = change.children.first().ok_or("nothing to create")?.clone();
                let parent = self.find(path)?;
                let is_there =
                    |child: &Xml| child.name == new.name && child.get("id") == new.get("id");
                if new.get("id").is_some() && parent.children.iter().any(is_there) {
                    return Err(format!("{:?} is there already", new.get("id")));
                }
                let position = change.get("position").and_then(|it| it.parse::<usize>().ok());
                let position = position.unwrap_or(usize::MAX).min(parent.children.len());
                parent.children.insert(position, new);
                Ok(())
            }
            Some("delete") => {
                let (above, _) = path.rsplit_once('/').ok_or("no path")?;
                let step = steps(path).pop().ok_or("no path")?;
                self.find(path)?;
                let parent = self.find(above)?;
                let at = parent.children.iter().position(|child| child.is(&step));
                parent.children.remove(at.ok_or("gone")?);
                Ok(())
            }
            Some("modify") => {
                let at = self.find(path)?;
                let list = change.children.iter().find(|child| child.name == "change-list");
                for attribute in list.map(|list| list.children.as_slice()).unwrap_or_default() {
                    let name = attribute.get("name").ok_or("an attribute without a name")?;
                    match (attribute.get("operation"), attribute.get("value")) {
                        (Some("set"), Some(value)) => at.set(name, value),
                        (Some("unset"), _) => at.attributes.retain(|(known, _)| known != name),
                        other => return Err(format!("cannot do {other:?} to an attribute")),
                    }
                }
                Ok(())
            }
            other => Err(format!("cannot do {other:?}")),
        }
    }
}

/// A path's steps: each a name and maybe an id.
fn steps(path: &str) -> Vec<(String, Option<String>)> {
    let steps = path.trim_matches('/').split('/');
    let step = |text: &str| match text.split_once("[@id='") {
        Some((name, rest)) => (name.to_owned(), rest.strip_suffix("']").map(str::to_owned)),
        None => (text.to_owned(), None),
    };
    steps.map(step).collect()
}

fn element(start: &BytesStart<'_>) -> Result<Xml, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|why| why.to_string())?;
        let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        let value = attribute.unescape_value().map_err(|why| why.to_string())?;
        attributes.push((name, value.into_owned()));
    }
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    Ok(Xml { name, attributes, children: Vec::new() })
}

impl std::fmt::Display for Xml {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "<{}", self.name)?;
        for (name, value) in &self.attributes {
            write!(out, " {name}=\"{}\"", quick_xml::escape::escape(value.as_str()))?;
        }
        if self.children.is_empty() {
            return out.write_str("/>");
        }
        out.write_str(">")?;
        for child in &self.children {
            child.fmt(out)?;
        }
        write!(out, "</{}>", self.name)
    }
}
