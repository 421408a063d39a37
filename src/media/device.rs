//! Capture devices of libavdevice, as far as sound needs them: which there are, and opening one.

use std::{ffi::CString, ptr};

use ffmpeg_next::{Dictionary, Error, ffi, format::context};

use super::edge::{check, text};

/// The sound systems of FFmpeg's that this build can capture from, by their short names (`pulse`, `alsa`).
pub(crate) fn sound_systems() -> Vec<String> {
    super::prepare();
    let mut names = Vec::new();
    let mut format = ptr::null();
    loop {
        // SAFETY: the list and what it holds are static; null starts it.
        unsafe {
            format = ffi::av_input_audio_device_next(format);
            if format.is_null() {
                return names;
            }
            names.extend(text((*format).name).split(',').map(str::to_owned));
        }
    }
}

/// Opens a device of a sound system for capturing.
///
/// # Errors
/// FFmpeg's: the system is not built in, there is no such device, it is busy.
pub(crate) fn open(
    system: &str,
    device: &str,
    options: &[(&str, &str)],
) -> Result<context::Input, Error> {
    super::prepare();
    let name = CString::new(system).map_err(|_| Error::InvalidData)?;
    let url = CString::new(device).map_err(|_| Error::InvalidData)?;
    let options: Dictionary<'_> = options.iter().copied().collect();
    let mut context = ptr::null_mut();
    // SAFETY: both names are C strings; the dictionary is given up and freed here; `context` receives a context that is
    // owned from here on, or stays null on failure.
    unsafe {
        let format = ffi::av_find_input_format(name.as_ptr());
        if format.is_null() {
            return Err(Error::DemuxerNotFound);
        }
        let mut options = options.disown();
        let code = ffi::avformat_open_input(&mut context, url.as_ptr(), format, &mut options);
        ffi::av_dict_free(&mut options);
        check(code)?;
        Ok(context::Input::wrap(context))
    }
}

/// The devices that a sound system offers: name and description, the default first. Empty when the system does not say.
pub(crate) fn sources(system: &str) -> Vec<(String, String)> {
    super::prepare();
    let Ok(name) = CString::new(system) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    // SAFETY: the list is filled and freed by FFmpeg; its pointers are valid for the counts that it gives.
    unsafe {
        let format = ffi::av_find_input_format(name.as_ptr());
        let mut list = ptr::null_mut();
        let none: *const std::ffi::c_char = ptr::null();
        if format.is_null()
            || ffi::avdevice_list_input_sources(format, none, ptr::null_mut(), &mut list) < 0
            || list.is_null()
        {
            return found;
        }
        for i in 0..usize::try_from((*list).nb_devices).unwrap_or(0) {
            let device = *(*list).devices.add(i);
            let entry = (
                text((*device).device_name),
                text((*device).device_description),
            );
            if (*list).default_device == i as i32 {
                found.insert(0, entry);
            } else {
                found.push(entry);
            }
        }
        ffi::avdevice_free_list_devices(&mut list);
    }
    found
}
