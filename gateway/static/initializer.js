"use strict";

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: "/v1/openapi.json",
  deepLinking: true,
  filter: true,
  tryItOutEnabled: true,
  persistAuthorization: false, // a token in local storage would outlive the tab
  validatorUrl: "none", // the default sends the document's address to a public server
});
