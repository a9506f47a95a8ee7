//! What the validation layers say, collected.

use std::borrow::Cow;
use std::ffi::{CStr, c_void};
use std::sync::{Mutex, PoisonError};

use ash::vk;

/// Warnings and errors, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Messages(Mutex<Vec<String>>);

impl Messages {
    /// What was said so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How a messenger that writes into this is made.
    pub(crate) fn messenger(&self) -> vk::DebugUtilsMessengerCreateInfoEXT<'_> {
        vk::DebugUtilsMessengerCreateInfoEXT::default()
            .message_severity(
                vk::DebugUtilsMessageSeverityFlagsEXT::WARNING
                    | vk::DebugUtilsMessageSeverityFlagsEXT::ERROR,
            )
            .message_type(
                vk::DebugUtilsMessageTypeFlagsEXT::VALIDATION
                    | vk::DebugUtilsMessageTypeFlagsEXT::PERFORMANCE,
            )
            .pfn_user_callback(Some(said))
            .user_data(std::ptr::from_ref(self).cast_mut().cast())
    }
}

/// Called by the layers, from any thread that makes a call.
unsafe extern "system" fn said(
    _severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _kind: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    user: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: the pointer is that of `messenger`, whose `Messages` the instance owns in a box, and
    // destroys after the messenger; it is only ever used by shared reference.
    let messages = unsafe { user.cast::<Messages>().as_ref() };
    // SAFETY: the layer hands over a structure that is valid during the call.
    let data = unsafe { data.as_ref() };
    if let (Some(messages), Some(data)) = (messages, data)
        && !data.p_message.is_null()
    {
        // SAFETY: Vulkan has it that the message ends with a zero byte, and lives during the call.
        let text = unsafe { CStr::from_ptr(data.p_message) };
        let text: Cow<'_, str> = text.to_string_lossy();
        messages.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.into_owned());
    }
    vk::FALSE
}
