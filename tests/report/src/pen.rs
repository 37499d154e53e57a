//! Writes SVG elements. Invariant: whatever a log line holds, what comes out is well-formed.

use std::fmt::Write as _;

/// Text for between the tags and for attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no place for the others, not even escaped.
            '\n' | '\t' => out.push(' '),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            letter => out.push(letter),
        }
    }
    out
}

/// About how wide a text is, in pixels, at the size of labels; measured for the usual sans-serif fonts.
pub(crate) fn width(text: &str) -> f64 {
    text.chars()
        .map(|letter| match letter {
            'i' | 'j' | 'l' | 't' | 'f' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => {
                3.4
            }
            'm' | 'w' | 'M' | 'W' | '@' => 9.4,
            'A'..='Z' | '→' => 7.6,
            _ => 6.2,
        })
        .sum()
}

/// A text that is no wider than this, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, wide: f64) -> String {
    if width(text) <= wide {
        return text.to_owned();
    }
    let mut short = String::new();
    for letter in text.chars() {
        short.push(letter);
        if width(&short) + 8.0 > wide {
            short.pop();
            break;
        }
    }
    format!("{}…", short.trim_end())
}

/// Where a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    Right,
    Middle,
    Left,
}

/// A drawing that grows.
#[derive(Debug, Default)]
pub(crate) struct Pen {
    pub(crate) out: String,
}

impl Pen {
    pub(crate) fn rect(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (w, h): (f64, f64),
        title: &str,
    ) {
        let round = if h > 8.0 && w > 5.0 { " rx=\"3\"" } else { "" };
        let _ = write!(
            self.out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"{round}"
        );
        if title.is_empty() {
            self.out += "/>\n";
        } else {
            let _ = writeln!(self.out, "><title>{}</title></rect>", escape(title));
        }
    }

    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), stand: Stand, text: &str) {
        let anchor = match stand {
            Stand::Right => "",
            Stand::Middle => " text-anchor=\"middle\"",
            Stand::Left => " text-anchor=\"end\"",
        };
        let text = escape(text);
        let _ = writeln!(
            self.out,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{text}</text>"
        );
    }

    pub(crate) fn down(&mut self, class: &str, x: f64, (top, bottom): (f64, f64)) {
        let _ = writeln!(self.out, "<path class=\"{class}\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>");
    }

    pub(crate) fn path(&mut self, class: &str, data: &str, title: &str) {
        if data.is_empty() {
            return;
        }
        let _ = writeln!(
            self.out,
            "<path class=\"{class}\" d=\"{data}\"><title>{}</title></path>",
            escape(title)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_log_line_is_markup() {
        assert_eq!(escape("a<b>&\"c\"\u{1b}[1m\n"), "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}[1m ");
    }

    #[test]
    fn a_cut_text_fits_and_says_that_it_was_cut() {
        let long = "crm-fence-peer: the peer is down, confirmed, and banned from promotion";
        for wide in [20.0, 60.0, 200.0] {
            let short = cut(long, wide);
            assert!(short.ends_with('…') && width(&short) <= wide + 8.0, "{short}");
        }
        assert_eq!(cut("short", 100.0), "short");
    }
}
