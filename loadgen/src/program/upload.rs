//! Bodies that are sent piece by piece: what they consist of.
//!
//! Owns the frame of a multipart form (RFC 7578) and how its boundary is chosen: it begins with what no file of the plan holds, and
//! ends with what the session draws for each request, so that no text of a target can have it either; a text that has it all the
//! same is noticed when it is written.

use std::rc::Rc;

use scenarios::plan::{Body, Content, Field, Generated};

use super::BadPlan;
use super::compile::plain;
use crate::random::mix;
use crate::rendered::Page;
use crate::scan::contains;
use crate::template::Text;

/// A body that is sent piece by piece.
#[derive(Debug)]
pub struct Upload {
    /// Content type; that of a form goes on with its boundary.
    pub kind: String,
    /// How the boundary of a form begins.
    pub boundary: Option<String>,
    /// What is sent.
    pub pieces: Vec<Piece>,
    /// Is the length left unsaid?
    pub chunked: bool,
}

/// A piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// A text.
    Text(Text),
    /// The form's boundary.
    Boundary,
    /// A file.
    File(Rc<[u8]>),
    /// Made while it is sent.
    Generated(Generated),
    /// Written by a template engine.
    Rendered(Box<Page>),
}

impl Upload {
    /// Makes one ready. `files` are those of the plan.
    ///
    /// # Errors
    /// [`BadPlan`].
    pub fn new(
        kind: &str,
        body: &Body,
        chunked: bool,
        files: &[Rc<[u8]>],
        seed: u64,
    ) -> Result<Self, BadPlan> {
        let mut upload = Self { kind: kind.to_owned(), boundary: None, pieces: Vec::new(), chunked };
        match body {
            Body::Whole(content) => upload.pieces.push(piece(content, files)),
            Body::Rendered(rendered) => upload.pieces.push(Piece::Rendered(Box::new(Page::new(rendered)?))),
            Body::Multipart(fields) => {
                upload.boundary = Some(beginning(files, seed));
                fields.iter().for_each(|field| upload.field(field, files));
                upload.fixed("--").pieces.push(Piece::Boundary);
                upload.fixed("--\r\n");
            }
        }
        Ok(upload)
    }

    /// The feeders that it looks at.
    pub fn feeders(&self) -> Vec<usize> {
        let of = |piece: &Piece| match piece {
            Piece::Text(text) => text.feeders(),
            Piece::Rendered(page) => page.feeders().collect(),
            Piece::Boundary | Piece::File(_) | Piece::Generated(_) => Vec::new(),
        };
        self.pieces.iter().flat_map(of).collect()
    }

    fn fixed(&mut self, text: &str) -> &mut Self {
        let mut piece = Text::default();
        piece.fixed(text);
        self.pieces.push(Piece::Text(piece));
        self
    }

    fn field(&mut self, field: &Field, files: &[Rc<[u8]>]) {
        self.fixed("--").pieces.push(Piece::Boundary);
        let mut head = format!("\r\nContent-Disposition: form-data; name=\"{}\"", quoted(&field.name));
        if let Some(name) = &field.file_name {
            head += &format!("; filename=\"{}\"", quoted(name));
        }
        if let Some(kind) = &field.kind {
            head += &format!("\r\nContent-Type: {kind}");
        }
        self.fixed(&(head + "\r\n\r\n")).pieces.push(piece(&field.content, files));
        self.fixed("\r\n");
    }
}

fn piece(content: &Content, files: &[Rc<[u8]>]) -> Piece {
    match content {
        Content::Text(template) => Piece::Text(plain(template)),
        // A plan has every file that it names.
        Content::File(i) => Piece::File(files.get(usize::from(*i)).cloned().unwrap_or_else(|| Rc::from([]))),
        Content::Generated(generated) => Piece::Generated(*generated),
    }
}

/// As browsers write names: what would end them is percent-encoded (RFC 7578, 4.2, and the HTML standard).
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A beginning that no file holds.
fn beginning(files: &[Rc<[u8]>], seed: u64) -> String {
    let named = |i: u64| format!("dyno-{:08x}", mix(seed, i) as u32);
    let free = |text: &String| !files.iter().any(|file| contains(file, text.as_bytes()));
    (0..).map(named).find(free).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_begins_with_what_no_file_holds() {
        let first = beginning(&[], 1);
        let file: Rc<[u8]> = Rc::from(format!("x{first}y").as_bytes());
        let second = beginning(&[file], 1);
        assert!(first != second && first.len() == second.len());
        assert_eq!(quoted("a\"b\r\n"), "a%22b%0D%0A");
    }
}
