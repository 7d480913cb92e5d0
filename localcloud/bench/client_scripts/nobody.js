// Credentials of nobody, for Google's REST clients, which insist on some.
exports.nobody = {
  getClient: async () => ({}),
  getProjectId: async () => 'local-project',
  getRequestHeaders: async () => new Headers(),
  getUniverseDomain: async () => 'googleapis.com',
  universeDomain: 'googleapis.com',
  fetch: (url, options) => fetch(url, options),
};
