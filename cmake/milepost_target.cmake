# Applies the house's compiler settings to a target of this project (never to a user's).
function(milepost_target target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion
                                           -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
  # A name may hide one of another file that is only in sight because both are built as one.
  if(NOT CMAKE_UNITY_BUILD)
    target_compile_options(${target} PRIVATE -Wshadow)
  endif()
  # GCC 12 sees overlapping copies where a literal and a std::string are joined (GCC bug 105651).
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
  if(MILEPOST_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MILEPOST_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${MILEPOST_SANITIZE})
  endif()
endfunction()
