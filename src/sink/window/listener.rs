//! Which keys were pressed, whatever the keyboard's layout.
//!
//! minifb tells which key goes down, by what it would write alone, and behind that which character it does write. On many
//! keyboards `[` or a digit takes Shift or AltGr, and such a key alone stands for another switch or for none: the
//! character decides where there is one that can be typed in ASCII, the key everywhere else (arrows, layouts of other
//! scripts, Ctrl). That a key is held only the key can tell, since characters are not let go.

use std::{cell::RefCell, rc::Rc};

use minifb::InputCallback;

use crate::live::Key;

/// Gives what minifb tells to the window, which looks at it later.
pub(super) struct Listener(pub(super) Rc<RefCell<Hearing>>);

impl InputCallback for Listener {
    fn add_char(&mut self, character: u32) {
        if let Some(sign) = char::from_u32(character) {
            self.0.borrow_mut().sign(sign);
        }
    }

    fn set_key_state(&mut self, key: minifb::Key, is_down: bool) {
        let mut hearing = self.0.borrow_mut();
        if is_down {
            hearing.down(key);
        } else {
            hearing.up(key);
        }
    }
}

/// Hears of every key, those too that are pressed and let go between two looks at the window.
#[derive(Default)]
pub(super) struct Hearing {
    pressed: Vec<Key>,
    down: Vec<minifb::Key>,
    /// The key that went down last, while its character may follow, and whether it was held already.
    last: Option<(minifb::Key, bool)>,
    reads_signs: bool,
}

impl Hearing {
    /// `reads_signs`: whether characters come right behind their keys (on X11) and are to be read.
    pub(super) fn new(reads_signs: bool) -> Self {
        Self {
            reads_signs,
            ..Self::default()
        }
    }

    /// The keys that were pressed since the last time.
    pub(super) fn take(&mut self) -> Vec<Key> {
        self.settle();
        std::mem::take(&mut self.pressed)
    }

    /// No key is held any more.
    pub(super) fn let_go(&mut self) {
        self.down.clear();
    }

    fn down(&mut self, key: minifb::Key) {
        self.settle();
        let is_held = self.down.contains(&key);
        if !is_held {
            self.down.push(key);
        }
        self.last = Some((key, is_held));
    }

    fn up(&mut self, key: minifb::Key) {
        self.settle();
        self.down.retain(|&held| held != key);
    }

    fn sign(&mut self, sign: char) {
        if !self.reads_signs || !(sign.is_ascii_graphic() || sign == ' ') {
            return;
        }
        // A key that minifb does not know (French digits) has only a character, and is new whenever it comes.
        let is_held = self.last.take().is_some_and(|(_, is_held)| is_held);
        self.press(Key::Char(sign.to_ascii_lowercase()), is_held);
    }

    /// No character comes for the last key: it is what it is alone.
    fn settle(&mut self) {
        if let Some((key, is_held)) = self.last.take()
            && let Some(known) = translate(key)
        {
            self.press(known, is_held);
        }
    }

    fn press(&mut self, key: Key, is_held: bool) {
        // What goes by steps repeats while it is held; a switch does not, or it would flutter.
        let repeats = matches!(
            key,
            Key::Left
                | Key::Right
                | Key::Up
                | Key::Down
                | Key::Char('[' | ']' | ',' | '.' | 'l' | 'o')
        );
        if !is_held || repeats {
            self.pressed.push(key);
        }
    }
}

fn translate(key: minifb::Key) -> Option<Key> {
    use minifb::Key as K;
    let sign = match key {
        K::Left => return Some(Key::Left),
        K::Right => return Some(Key::Right),
        K::Up => return Some(Key::Up),
        K::Down => return Some(Key::Down),
        K::Escape => return Some(Key::Escape),
        K::F11 => return Some(Key::F11),
        K::F1 => 'h',
        K::Space => ' ',
        K::Minus | K::NumPadMinus => '-',
        K::Equal | K::NumPadPlus => '=',
        K::LeftBracket => '[',
        K::RightBracket => ']',
        K::Comma => ',',
        K::Period => '.',
        K::Key0 | K::NumPad0 => '0',
        K::Key1 | K::NumPad1 => '1',
        K::Key2 | K::NumPad2 => '2',
        K::Key3 | K::NumPad3 => '3',
        K::Key4 | K::NumPad4 => '4',
        K::Key5 | K::NumPad5 => '5',
        K::Key6 | K::NumPad6 => '6',
        K::Key7 | K::NumPad7 => '7',
        K::Key8 | K::NumPad8 => '8',
        K::Key9 | K::NumPad9 => '9',
        K::A => 'a',
        K::B => 'b',
        K::C => 'c',
        K::F => 'f',
        K::H => 'h',
        K::I => 'i',
        K::L => 'l',
        K::M => 'm',
        K::O => 'o',
        K::P => 'p',
        K::Q => 'q',
        K::R => 'r',
        K::V => 'v',
        _ => return None,
    };
    Some(Key::Char(sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use minifb::Key as K;

    #[test]
    fn every_key_that_the_help_names_is_heard() {
        // SAFETY: the enum is a byte, and all numbers up to `Count` are among its values, as minifb promises.
        let keys =
            (0..K::Count as u8).map(|number| unsafe { std::mem::transmute::<u8, K>(number) });
        let heard: Vec<Key> = keys.filter_map(translate).collect();
        for (keys, what) in crate::live::HELP {
            for name in keys.split([' ', '·', '…']).filter(|name| !name.is_empty()) {
                let key = match name {
                    "Left" => Key::Left,
                    "Right" => Key::Right,
                    "Up" => Key::Up,
                    "Down" => Key::Down,
                    "Space" => Key::Char(' '),
                    sign => Key::Char(sign.to_lowercase().chars().next().unwrap()),
                };
                assert!(heard.contains(&key), "{name} ({what})");
            }
        }
    }

    /// Keys that go down and are let go, each with the character that it writes.
    fn typed(hearing: &mut Hearing, keys: &[(Option<K>, Option<char>)]) -> Vec<Key> {
        for &(key, sign) in keys {
            key.into_iter().for_each(|key| hearing.down(key));
            sign.into_iter().for_each(|sign| hearing.sign(sign));
            key.into_iter().for_each(|key| hearing.up(key));
        }
        hearing.take()
    }

    #[test]
    fn characters_decide_and_keys_where_there_is_none() {
        let keys = [
            // German: AltGr and 8, Shift and 0, and the key beside P.
            (Some(K::Key8), Some('[')),
            (Some(K::Key0), Some('=')),
            (None, Some('\u{fc}')),
            // French: Shift and the key of the ampersand.
            (None, Some('1')),
            (None, Some('1')),
            // Caps lock; Cyrillic; Ctrl.
            (Some(K::V), Some('V')),
            (Some(K::Q), Some('\u{439}')),
            (Some(K::C), Some('\u{3}')),
            (Some(K::Escape), Some('\u{1b}')),
            (Some(K::F1), None),
            (Some(K::NumPad7), None),
            (Some(K::LeftShift), None),
        ];
        let heard = typed(&mut Hearing::new(true), &keys);
        let signs = "[=11vqc".chars().map(Key::Char);
        let others = [Key::Escape, Key::Char('h'), Key::Char('7')];
        assert_eq!(heard, signs.chain(others).collect::<Vec<_>>());

        let heard = typed(&mut Hearing::new(false), &keys[..2]);
        assert_eq!(heard, [Key::Char('8'), Key::Char('0')]);
    }

    #[test]
    fn steps_repeat_while_a_key_is_held_and_switches_do_not() {
        let mut hearing = Hearing::new(true);
        for (key, sign) in [(K::V, 'v'), (K::Key8, '['), (K::Left, '\0')] {
            for _ in 0..3 {
                hearing.down(key);
                hearing.sign(sign);
            }
        }
        let count = |keys: &[Key], key| keys.iter().filter(|&&k| k == key).count();
        let keys = hearing.take();
        assert_eq!(count(&keys, Key::Char('v')), 1);
        assert_eq!(count(&keys, Key::Char('[')), 3);
        assert_eq!(count(&keys, Key::Left), 3);
        // Let go while another window was in front.
        hearing.let_go();
        assert_eq!(typed(&mut hearing, &[(Some(K::V), Some('v'))]).len(), 1);
    }
}
