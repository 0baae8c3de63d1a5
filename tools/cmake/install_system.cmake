# What belongs to the system and names absolute paths: written when it is installed, for only then is the prefix known.
# `cmake --install --prefix` and cpack choose another one than the build was configured with.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(COX_ETC "/etc")
else()
  set(COX_ETC "${CMAKE_INSTALL_PREFIX}/etc")
endif()
set(COX_BIN "${CMAKE_INSTALL_PREFIX}/bin")
set(COX_UNIT "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/lib/systemd/system/coxswain.service")
configure_file(${COX_SYSTEMD}/coxswain.service.in ${COX_UNIT} @ONLY)
file(CHMOD ${COX_UNIT} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
# A configuration that is there is the operator's: only what a package brings is written, and dpkg asks before it overwrites.
if(NOT EXISTS "$ENV{DESTDIR}${COX_ETC}/coxswain/environment")
  file(INSTALL ${COX_SYSTEMD}/environment DESTINATION ${COX_ETC}/coxswain)
endif()
# Debian's zsh looks for what packages bring in a folder of its own.
if(COX_MADE AND CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  file(INSTALL ${COX_MADE}/_coxswain DESTINATION /usr/share/zsh/vendor-completions)
elseif(COX_MADE)
  file(INSTALL ${COX_MADE}/_coxswain DESTINATION ${CMAKE_INSTALL_PREFIX}/share/zsh/site-functions)
endif()
