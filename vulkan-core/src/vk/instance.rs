//! The loader, opened when it is first wanted, and one instance.

use std::ffi::CStr;
use std::sync::Arc;

use ash::{ext, khr, vk};

use super::messages::Messages;
use crate::error::{Error, Result};
use crate::options::Validation;

const LAYER: &CStr = c"VK_LAYER_KHRONOS_validation";

/// The oldest version that devices are used with.
pub(crate) const FLOOR: u32 = vk::API_VERSION_1_3;

/// An instance, and what its layers say.
pub(crate) struct Instance {
    /// The functions come out of the loader, which stays open as long.
    _entry: ash::Entry,
    raw: ash::Instance,
    messenger: Option<(ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT)>,
    messages: Box<Messages>,
}

impl Instance {
    pub(crate) fn open(validation: Validation) -> Result<Arc<Instance>> {
        // SAFETY: a Vulkan loader is a library made to be opened so; its initialisers ask nothing of
        // us, and what it gives is used while it is open.
        let entry = unsafe { ash::Entry::load() };
        let entry = entry.map_err(|e| Error::Loader { reason: e.to_string() })?;
        // SAFETY: see the module; the call needs nothing but the loader.
        let version = unsafe { entry.try_enumerate_instance_version() };
        let version = version.map_err(|e| failed("ask for the loader's version", e))?;
        if version.unwrap_or(vk::API_VERSION_1_0) < vk::API_VERSION_1_1 {
            let reason = "it is of Vulkan 1.0".to_owned();
            return Err(Error::Loader { reason });
        }
        let messages = Box::<Messages>::default();
        let watched = validation != Validation::Off;
        if watched {
            must_have_layer(&entry)?;
        }

        let mut extensions = Vec::new();
        let mut flags = vk::InstanceCreateFlags::empty();
        // Drivers that do not do all of Vulkan are listed only to who asks for them.
        if has_extension(&entry, None, khr::portability_enumeration::NAME)? {
            extensions.push(khr::portability_enumeration::NAME.as_ptr());
            flags |= vk::InstanceCreateFlags::ENUMERATE_PORTABILITY_KHR;
        }
        let mut layers = Vec::new();
        if watched {
            layers.push(LAYER.as_ptr());
            extensions.push(ext::debug_utils::NAME.as_ptr());
        }
        let settings = Settings::of(validation);
        let listed = settings.list();
        let mut settings = vk::LayerSettingsCreateInfoEXT::default().settings(&listed);
        let mut messenger = messages.messenger();

        let application = vk::ApplicationInfo::default()
            .application_name(c"libnumpack")
            .engine_name(c"libnumpack")
            .api_version(FLOOR);
        let mut info = vk::InstanceCreateInfo::default()
            .application_info(&application)
            .flags(flags)
            .enabled_layer_names(&layers)
            .enabled_extension_names(&extensions);
        if watched {
            if has_extension(&entry, Some(LAYER), ext::layer_settings::NAME)? {
                info = info.push_next(&mut settings);
            } else if validation == Validation::Synchronization {
                return Err(Error::Unsupported {
                    device: "Vulkan".to_owned(),
                    what:
                        "the validation layer is too old to be told what to check; install one of \
                           Vulkan 1.3.300 or newer"
                            .to_owned(),
                });
            }
            info = info.push_next(&mut messenger);
        }
        // SAFETY: see the module; the layers and extensions named are there.
        let raw = unsafe { entry.create_instance(&info, None) };
        let raw = raw.map_err(|e| failed("make an instance", e))?;
        let mut instance = Instance { _entry: entry, raw, messenger: None, messages };
        if watched {
            let functions = ext::debug_utils::Instance::new(&instance._entry, &instance.raw);
            let info = instance.messages.messenger();
            // SAFETY: see the module; the messages outlive the messenger, see `drop`.
            let messenger = unsafe { functions.create_debug_utils_messenger(&info, None) };
            let messenger = messenger.map_err(|e| failed("listen to the layers", e))?;
            instance.messenger = Some((functions, messenger));
        }
        Ok(Arc::new(instance))
    }

    pub(crate) fn raw(&self) -> &ash::Instance {
        &self.raw
    }

    pub(crate) fn messages(&self) -> &Messages {
        &self.messages
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some((functions, messenger)) = self.messenger.take() {
            // SAFETY: it is of this instance, and nobody uses it any more.
            unsafe { functions.destroy_debug_utils_messenger(messenger, None) };
        }
        // SAFETY: whatever was made of the instance holds it by an `Arc`, so nothing is left.
        unsafe { self.raw.destroy_instance(None) };
    }
}

/// What the validation layer is told.
struct Settings {
    synchronization: vk::Bool32,
    unlimited: vk::Bool32,
}

impl Settings {
    fn of(validation: Validation) -> Settings {
        let synchronization = (validation == Validation::Synchronization).into();
        Settings { synchronization, unlimited: vk::FALSE }
    }

    fn list(&self) -> [vk::LayerSettingEXT<'_>; 3] {
        let one = |name, value: &vk::Bool32| {
            let mut setting = vk::LayerSettingEXT::default()
                .layer_name(LAYER)
                .setting_name(name)
                .ty(vk::LayerSettingTypeEXT::BOOL32);
            setting.value_count = 1;
            setting.p_values = std::ptr::from_ref(value).cast();
            setting
        };
        [
            one(c"validate_sync", &self.synchronization),
            // What shaders do with a buffer is then taken from how they declare it.
            one(c"syncval_shader_accesses_heuristic", &self.synchronization),
            one(c"enable_message_limit", &self.unlimited),
        ]
    }
}

fn must_have_layer(entry: &ash::Entry) -> Result<()> {
    // SAFETY: see the module; the call needs nothing but the loader.
    let layers = unsafe { entry.enumerate_instance_layer_properties() };
    let layers = layers.map_err(|e| failed("list the layers", e))?;
    let found = layers.iter().any(|l| l.layer_name_as_c_str().is_ok_and(|name| name == LAYER));
    if found {
        return Ok(());
    }
    Err(Error::Unsupported {
        device: "Vulkan".to_owned(),
        what: "validation was asked for, and the layer VK_LAYER_KHRONOS_validation is not there; \
               install it (on Debian: vulkan-validationlayers), or set VK_LAYER_PATH"
            .to_owned(),
    })
}

fn has_extension(entry: &ash::Entry, layer: Option<&CStr>, name: &CStr) -> Result<bool> {
    // SAFETY: see the module; the name of a layer ends with a zero byte.
    let all = unsafe { entry.enumerate_instance_extension_properties(layer) };
    let all = all.map_err(|e| failed("list the extensions", e))?;
    Ok(all.iter().any(|e| e.extension_name_as_c_str().is_ok_and(|n| n == name)))
}

/// An error before there is a device.
pub(crate) fn failed(doing: &'static str, code: vk::Result) -> Error {
    if code == vk::Result::ERROR_INCOMPATIBLE_DRIVER {
        let reason = "it finds no driver".to_owned();
        return Error::Loader { reason };
    }
    Error::Driver { device: "Vulkan".to_owned(), doing, code: format!("{code:?}") }
}
