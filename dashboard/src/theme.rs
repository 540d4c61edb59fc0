//! Colours and glyphs: which ones a terminal gets, and what each means.
//!
//! Owns the decisions (pure functions of flag and environment), the palettes and the glyphs with their
//! ASCII twins. Colour never speaks alone: every role has a glyph, a word or a modifier beside it. With
//! colour off no style carries any colour at all, because crossterm writes an empty colour sequence
//! under `NO_COLOR`, which acts as a reset and would wipe the modifier of the selected row.

use ratatui::style::{Color, Modifier, Style};

/// How many colours the terminal gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// None: modifiers alone.
    None,
    /// The terminal's own sixteen, by name, so that the user's theme rules.
    Sixteen,
    /// The 256-colour cube.
    Cube,
    /// 24 bits.
    True,
}

/// The ground that the terminal draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ground {
    /// Light text on dark.
    #[default]
    Dark,
    /// Dark text on light.
    Light,
}

/// What the user asked for with `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    /// Ask the environment.
    #[default]
    Auto,
    /// Colours, whatever the environment says.
    Always,
    /// No colours.
    Never,
}

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThemeChoice {
    /// Colours or not.
    pub color: ColorChoice,
    /// Ground, with `--ground`; none: by the environment's `COLORFGBG`, dark if it is silent.
    pub ground: Option<Ground>,
}

/// Decides on the palette: the flag, then `NO_COLOR`, then `CLICOLOR_FORCE` or `FORCE_COLOR`, then
/// whether there is a terminal that is not dumb. An empty variable counts as unset.
#[must_use]
pub fn palette(choice: ColorChoice, env: &dyn Fn(&str) -> Option<String>, terminal: bool) -> Palette {
    let set = |name: &str| env(name).filter(|v| !v.is_empty());
    let forced = |name: &str| set(name).is_some_and(|v| v != "0");
    let term = set("TERM").unwrap_or_default();
    let colours = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("NO_COLOR").is_some() => false,
        ColorChoice::Auto if forced("CLICOLOR_FORCE") || forced("FORCE_COLOR") => true,
        ColorChoice::Auto => terminal && !term.is_empty() && term != "dumb",
    };
    let deep = set("COLORTERM").is_some_and(|v| v == "truecolor" || v == "24bit");
    match (colours, deep, term.contains("256color")) {
        (false, ..) => Palette::None,
        (true, true, _) => Palette::True,
        (true, false, true) => Palette::Cube,
        (true, false, false) => Palette::Sixteen,
    }
}

/// Decides on the ground: the choice, then the last number of `COLORFGBG` (7 and 15 are light).
#[must_use]
pub fn ground(choice: Option<Ground>, env: &dyn Fn(&str) -> Option<String>) -> Ground {
    choice.unwrap_or_else(|| {
        let value = env("COLORFGBG").unwrap_or_default();
        match value.rsplit(';').next() {
            Some("7" | "15") => Ground::Light,
            _ => Ground::Dark,
        }
    })
}

/// Does the locale's character set take more than ASCII? The first of `LC_ALL`, `LC_CTYPE` and `LANG` that is not empty decides;
/// where none is set nobody has said anything, and a terminal of today takes UTF-8.
#[must_use]
pub fn is_utf8(env: &dyn Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env).find(|v| !v.is_empty());
    locale.is_none_or(|v| ["utf-8", "utf8"].iter().any(|charset| v.to_ascii_lowercase().contains(charset)))
}

/// What a piece of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ordinary text.
    Text,
    /// Text that may be overlooked: labels, rules, hints.
    Dim,
    /// Figures and headings that matter.
    Strong,
    /// A lane's curve.
    Curve,
    /// The second of two curves.
    SecondCurve,
    /// An informational finding.
    Info,
    /// A warning.
    Warning,
    /// A critical finding, a failed gate.
    Critical,
    /// The selected row, the active tab, the column under the cursor, a banner.
    Selected,
}

/// Levels of darkness of a heatmap cell that is not empty.
pub const HEAT_LEVELS: usize = 5;
/// Levels of a bar one cell high: the first is zero, the others are not.
pub const BAR_LEVELS: usize = 8;

/// The characters that pictures are made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// Heatmap cells, few to many.
    pub heat: [&'static str; HEAT_LEVELS],
    /// Bars, zero first.
    pub bars: [&'static str; BAR_LEVELS],
    /// A pool's column in which somebody waited.
    pub waited: &'static str,
    /// A rule.
    pub rule: &'static str,
    /// A tick on the time axis.
    pub tick: &'static str,
    /// Where the cursor stands on the time axis.
    pub cursor: &'static str,
    /// A change of the load or a marker on the time axis.
    pub mark: &'static str,
    /// A column of the time axis in which the load was halted.
    pub halted: &'static str,
    /// Done and open parts of a progress bar.
    pub progress: [&'static str; 2],
    /// First and second curve of a plot, and where both lie.
    pub curves: [&'static str; 3],
    /// What lies between two curves.
    pub gap: &'static str,
    /// What stands for text that was cut off.
    pub cut: &'static str,
    /// Branch of a tree.
    pub branch: &'static str,
    /// Before the selected row.
    pub pointer: &'static str,
}

/// Glyphs for any terminal with a common font.
static UNICODE: Glyphs = Glyphs {
    heat: ["·", "░", "▒", "▓", "█"],
    bars: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    waited: "▲",
    rule: "─",
    tick: "┴",
    cursor: "^",
    mark: "◆",
    halted: "═",
    progress: ["█", "░"],
    curves: ["●", "○", "◉"],
    gap: "┊",
    cut: "…",
    branch: "└─",
    pointer: "›",
};

/// Their twins where only ASCII can be trusted.
static ASCII: Glyphs = Glyphs {
    heat: [".", ":", "=", "*", "#"],
    bars: ["_", ".", ":", "-", "=", "+", "*", "#"],
    waited: "!",
    rule: "-",
    tick: "+",
    cursor: "^",
    mark: "m",
    halted: "=",
    progress: ["#", "."],
    curves: ["r", "s", "="],
    gap: ":",
    cut: ">",
    branch: "`-",
    pointer: ">",
};

/// Colours and glyphs as decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    palette: Palette,
    ground: Ground,
    ascii: bool,
}

impl Theme {
    /// As asked for and as the environment allows: `ascii` holds whatever the locale is, and holds where that is not UTF-8.
    #[must_use]
    pub fn choose(
        choice: ThemeChoice,
        ascii: bool,
        env: &dyn Fn(&str) -> Option<String>,
        terminal: bool,
    ) -> Self {
        Self::new(palette(choice.color, env, terminal), ground(choice.ground, env), ascii || !is_utf8(env))
    }

    /// Exactly this.
    #[must_use]
    pub const fn new(palette: Palette, ground: Ground, ascii: bool) -> Self {
        Self { palette, ground, ascii }
    }

    /// The palette.
    #[must_use]
    pub const fn palette(&self) -> Palette {
        self.palette
    }

    /// May only ASCII reach the screen?
    #[must_use]
    pub const fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// The glyphs.
    #[must_use]
    pub const fn glyphs(&self) -> &'static Glyphs {
        if self.ascii { &ASCII } else { &UNICODE }
    }

    /// The style of a role. Without a palette it has modifiers and no colour.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        let plain = match role {
            Role::Text | Role::Curve | Role::SecondCurve | Role::Info => Style::new(),
            Role::Dim => Style::new().add_modifier(Modifier::DIM),
            Role::Strong | Role::Warning => Style::new().add_modifier(Modifier::BOLD),
            Role::Critical => Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED)),
            Role::Selected => return Style::new().add_modifier(Modifier::REVERSED),
        };
        match self.color(role) {
            Some(color) => plain.remove_modifier(Modifier::UNDERLINED).fg(color),
            None => plain,
        }
    }

    /// The style of a heatmap cell of `level` (0 to [`HEAT_LEVELS`] - 1): one hue, rising in lightness
    /// on a dark ground and falling on a light one.
    #[must_use]
    pub fn heat(&self, level: usize) -> Style {
        let i = level.min(HEAT_LEVELS - 1);
        let color = match (self.palette, self.ground) {
            (Palette::None, _) => return Style::new(),
            (Palette::Sixteen, Ground::Dark) => {
                [Color::Blue, Color::LightBlue, Color::Cyan, Color::LightCyan, Color::White][i]
            }
            (Palette::Sixteen, Ground::Light) => {
                [Color::Cyan, Color::Cyan, Color::LightBlue, Color::Blue, Color::Black][i]
            }
            (Palette::Cube, Ground::Dark) => Color::Indexed([25, 31, 38, 81, 195][i]),
            (Palette::Cube, Ground::Light) => Color::Indexed([110, 67, 31, 25, 17][i]),
            (Palette::True, Ground::Dark) => {
                rgb([0x2f_5f_8f, 0x3a_7f_b5, 0x4f_a3_d8, 0x86_c8_f0, 0xd6_f0_ff][i])
            }
            (Palette::True, Ground::Light) => {
                rgb([0x8f_b5_d6, 0x5f_95_c4, 0x34_76_ae, 0x17_55_8c, 0x06_2f_58][i])
            }
        };
        Style::new().fg(color)
    }

    /// Red and amber belong to findings alone; a calm run is nearly monochrome.
    fn color(&self, role: Role) -> Option<Color> {
        use Ground::{Dark, Light};
        use Palette::{Cube, None as NoColour, Sixteen, True};
        let color = match (role, self.palette, self.ground) {
            (_, NoColour, _) | (Role::Text | Role::Strong | Role::Dim | Role::Selected, ..) => return None,
            (Role::Curve, Sixteen, Dark) => Color::Cyan,
            (Role::Curve, Sixteen, Light) => Color::Blue,
            (Role::Curve, Cube, Dark) => Color::Indexed(74),
            (Role::Curve, Cube, Light) => Color::Indexed(25),
            (Role::Curve, True, Dark) => rgb(0x6f_b1_dc),
            (Role::Curve, True, Light) => rgb(0x1f_5f_97),
            (Role::SecondCurve | Role::Info, Sixteen, _) => Color::Green,
            (Role::SecondCurve | Role::Info, Cube, Dark) => Color::Indexed(108),
            (Role::SecondCurve | Role::Info, Cube, Light) => Color::Indexed(29),
            (Role::SecondCurve | Role::Info, True, Dark) => rgb(0x8f_bf_8f),
            (Role::SecondCurve | Role::Info, True, Light) => rgb(0x1f_6f_4f),
            (Role::Warning, Sixteen, _) => Color::Yellow,
            (Role::Warning, Cube, Dark) => Color::Indexed(214),
            (Role::Warning, Cube, Light) => Color::Indexed(130),
            (Role::Warning, True, Dark) => rgb(0xf0_b0_40),
            (Role::Warning, True, Light) => rgb(0x9a_5a_00),
            (Role::Critical, Sixteen, Dark) => Color::LightRed,
            (Role::Critical, Sixteen, Light) => Color::Red,
            (Role::Critical, Cube, Dark) => Color::Indexed(203),
            (Role::Critical, Cube, Light) => Color::Indexed(124),
            (Role::Critical, True, Dark) => rgb(0xff_6b_60),
            (Role::Critical, True, Light) => rgb(0xb0_1a_12),
        };
        Some(color)
    }
}

const fn rgb(hex: u32) -> Color {
    Color::from_u32(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(choice: ColorChoice, vars: &[(&str, &str)], terminal: bool) -> Palette {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        palette(choice, &env, terminal)
    }

    #[test]
    fn the_flag_beats_no_color_beats_force_beats_the_terminal() {
        use ColorChoice::{Always, Auto, Never};
        let xterm = ("TERM", "xterm-256color");
        assert_eq!(decided(Auto, &[xterm], true), Palette::Cube);
        assert_eq!(decided(Auto, &[xterm], false), Palette::None);
        assert_eq!(decided(Auto, &[("TERM", "dumb")], true), Palette::None);
        assert_eq!(decided(Auto, &[], true), Palette::None);
        assert_eq!(decided(Auto, &[("TERM", "xterm")], true), Palette::Sixteen);
        assert_eq!(decided(Auto, &[xterm, ("COLORTERM", "truecolor")], true), Palette::True);
        assert_eq!(decided(Auto, &[xterm, ("NO_COLOR", "1")], true), Palette::None);
        assert_eq!(decided(Auto, &[xterm, ("NO_COLOR", "")], true), Palette::Cube);
        assert_eq!(decided(Auto, &[xterm, ("NO_COLOR", "1"), ("FORCE_COLOR", "1")], true), Palette::None);
        assert_eq!(decided(Auto, &[xterm, ("FORCE_COLOR", "1")], false), Palette::Cube);
        assert_eq!(decided(Auto, &[("CLICOLOR_FORCE", "0"), xterm], false), Palette::None);
        assert_eq!(decided(Always, &[xterm, ("NO_COLOR", "1")], false), Palette::Cube);
        assert_eq!(decided(Never, &[xterm, ("FORCE_COLOR", "1")], true), Palette::None);
    }

    #[test]
    fn the_ground_follows_the_choice_then_the_terminal() {
        let env = |v: &'static str| move |name: &str| (name == "COLORFGBG").then(|| v.to_owned());
        assert_eq!(ground(None, &env("0;15")), Ground::Light);
        assert_eq!(ground(None, &env("15;0")), Ground::Dark);
        assert_eq!(ground(Some(Ground::Dark), &env("0;15")), Ground::Dark);
    }

    #[test]
    fn a_locale_without_utf_8_gets_ascii() {
        let chosen = |ascii, vars: &[(&str, &str)]| {
            let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            Theme::choose(ThemeChoice::default(), ascii, &env, true).is_ascii()
        };
        for plain in ["C", "POSIX", "en_US", "de_DE.ISO-8859-1", "ja_JP.eucJP"] {
            assert!(chosen(false, &[("LC_ALL", plain), ("LANG", "en_US.UTF-8")]), "{plain}");
        }
        for utf8 in ["C.UTF-8", "en_US.utf8", "UTF-8", "de_DE.UTF-8@euro"] {
            assert!(!chosen(false, &[("LC_ALL", ""), ("LC_CTYPE", utf8), ("LANG", "C")]), "{utf8}");
            assert!(chosen(true, &[("LANG", utf8)]), "it was asked for");
        }
        assert!(!chosen(false, &[]), "nothing is said");
    }

    #[test]
    fn without_a_palette_no_style_has_a_colour() {
        let theme = Theme::new(Palette::None, Ground::Dark, false);
        for role in [Role::Text, Role::Dim, Role::Strong, Role::Curve, Role::Critical, Role::Selected] {
            let style = theme.style(role);
            assert!(style.fg.is_none() && style.bg.is_none());
        }
        assert!((0..HEAT_LEVELS).all(|i| theme.heat(i) == Style::new()));
    }

    #[test]
    fn every_glyph_has_an_ascii_twin() {
        let g = &ASCII;
        let singles = [g.waited, g.rule, g.tick, g.cursor, g.mark, g.cut, g.branch, g.pointer, g.gap];
        let all = g.heat.iter().chain(&g.bars).chain(&g.progress).chain(&g.curves).chain(&singles);
        assert!(all.into_iter().all(|s| s.is_ascii()));
    }
}
